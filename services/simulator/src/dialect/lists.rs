//! Lists of models, and the small questions that clients ask before they begin.

use http::HeaderMap;

use crate::wire::{EmptyArray, Null, Object, object};

/// The answer to a GET of a list of models (or another small question), in the
/// shape of the API that the path and headers belong to.
pub(crate) fn list(path: &str, headers: &HeaderMap, models: &[String]) -> Option<Object> {
    let path = path.trim_end_matches('/');
    let all = |item: fn(&String) -> Object| models.iter().map(item).collect::<Vec<_>>();
    Some(match path {
        "/health" => object! { "status": "ok" },
        "/api/version" => object! { "version": "0.12.0" },
        "/api/tags" => object! { "models": all(ollama) },
        "/v1beta/models" => object! { "models": all(gemini) },
        _ if path.ends_with("/models") && headers.contains_key("anthropic-version") => object! {
            "data": all(anthropic), "has_more": false,
            "first_id": models.first(), "last_id": models.last(),
        },
        _ if path.ends_with("/models") => object! { "object": "list", "data": all(openai) },
        _ => {
            let (_, name) = path.rsplit_once("/models/")?;
            openai(models.iter().find(|model| *model == name)?)
        }
    })
}

fn openai(model: &String) -> Object {
    object! { "id": model, "object": "model", "created": 1_735_689_600_u64, "owned_by": "simulator" }
}

fn anthropic(model: &String) -> Object {
    object! {
        "type": "model", "id": model, "display_name": model,
        "created_at": "2025-01-01T00:00:00Z",
    }
}

fn ollama(model: &String) -> Object {
    object! {
        "name": model, "model": model, "modified_at": "2025-01-01T00:00:00Z",
        "size": 5_000_000_000_u64, "digest": "simulated",
        "details": object! { "parent_model": Null, "format": "gguf", "families": EmptyArray },
    }
}

fn gemini(model: &String) -> Object {
    object! {
        "name": format!("models/{model}"), "displayName": model,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
    }
}
