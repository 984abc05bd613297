//! What a token is to the simulator: a word. Prompts are counted and answers are
//! made so that anybody can compute the expected usage with a word count.

use serde_json::Value;

/// Members of a request that hold prompt text, over all dialects.
const PROMPT_MEMBERS: [&str; 9] = [
    "system",
    "messages",
    "prompt",
    "suffix",
    "input",
    "instructions",
    "contents",
    "systemInstruction",
    "system_instruction",
];

/// Members inside those that hold text.
const TEXT_MEMBERS: [&str; 4] = ["content", "text", "parts", "input"];

/// Words that answers are made of; some are there to trip careless readers of
/// the stream: quotes, a decoy, and characters of several bytes.
const WORDS: [&str; 24] = [
    "Every",
    "request",
    "has",
    "a",
    "beginning",
    "and",
    "an",
    "end;",
    "between",
    "them",
    "tokens",
    "flow,",
    "one",
    "by",
    "one,",
    "through",
    "the",
    "wire:",
    "Grüße,",
    "世界",
    "🌍",
    "say",
    "\"usage\":",
    "counters.",
];

/// Tokens of the prompt: the whitespace-separated words of all texts in the
/// prompt members of a request body; a number in place of text (a token id)
/// counts as one.
pub(crate) fn in_prompt(body: &Value) -> u64 {
    PROMPT_MEMBERS.iter().filter_map(|member| body.get(member)).map(in_text).sum()
}

fn in_text(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Number(_) => 1,
        Value::Array(items) => items.iter().map(in_text).sum(),
        Value::Object(members) => {
            TEXT_MEMBERS.iter().filter_map(|member| members.get(*member)).map(in_text).sum()
        }
        Value::Null | Value::Bool(_) => 0,
    }
}

/// The text of output token `index`: a word, with a space before it except at
/// the beginning.
pub(crate) fn piece(index: u64) -> String {
    let word = WORDS[(index % WORDS.len() as u64) as usize];
    if index == 0 { word.to_owned() } else { format!(" {word}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_prompt_has_as_many_tokens_as_words_in_all_its_texts() {
        assert_eq!(in_prompt(&json!({"messages": [{"role": "user", "content": "one two"}]})), 2);
        let parts = json!({
            "system": [{"type": "text", "text": "be  brief"}],
            "messages": [{"role": "user", "content": [
                {"type": "text", "text": "three more words"},
                {"type": "image", "source": {"data": "not counted"}},
            ]}],
        });
        assert_eq!(in_prompt(&parts), 5);
        assert_eq!(in_prompt(&json!({"input": ["a b", "c"]})), 3);
        assert_eq!(in_prompt(&json!({"input": [[1, 2], [3]]})), 3);
        assert_eq!(in_prompt(&json!({"contents": [{"parts": [{"text": "a b c"}]}]})), 3);
        assert_eq!(in_prompt(&json!({"model": "m"})), 0);
    }
}
