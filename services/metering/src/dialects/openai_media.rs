//! OpenAI audio and images (spec 5.6, 5.7): multipart or JSON requests, usage
//! by tokens or by time, streams with one delta event each.

use crate::dialect::Operation;
use crate::record::Record;
use crate::target::{Ask, Route, Target};
use crate::usage::{self, Amount, Usage};
use crate::wire::{Event, Framing, TYPE, Wire, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS {
    DELTA = length("delta");
    AUDIO = length("audio");
    IMAGE = length("b64_json");
    // Seconds of audio, which servers without usage give in verbose JSON.
    DURATION = value("duration");
} }

pub(crate) static TRANSCRIPTION: Wire = Wire {
    id: "openai-audio-transcription",
    operation: Operation::Transcription,
    route: |target| {
        (target.ends("/audio/transcriptions") || target.ends("/audio/translations"))
            .then(|| by_deployment(target))
    },
    shape: &SHAPE,
    event,
    tokens: usage::tokens,
    framing: Framing::Sse,
    done: false,
};

pub(crate) static SPEECH: Wire = Wire {
    id: "openai-audio-speech",
    operation: Operation::Speech,
    route: |target| {
        target.ends("/audio/speech").then(|| Route { ask: Ask::Format, ..by_deployment(target) })
    },
    ..TRANSCRIPTION
};

pub(crate) static IMAGES: Wire = Wire {
    id: "openai-images",
    operation: Operation::Image,
    route: |target| {
        ["/images/generations", "/images/edits", "/images/variations"]
            .iter()
            .any(|end| target.ends(end))
            .then(|| by_deployment(target))
    },
    ..TRANSCRIPTION
};

fn by_deployment(target: &Target<'_>) -> Route {
    Route { deployment: target.after("/deployments/"), ..Route::default() }
}

fn event(event: &Event<'_>, record: &mut Record) {
    let slots = event.slots;
    note_error(event, record);
    match slots.text(TYPE).unwrap_or(event.name) {
        b"transcript.text.delta" => record.content.visible = slots.length(DELTA),
        b"speech.audio.delta" => record.content.visible = u64::from(slots.filled(AUDIO)),
        kind if kind.ends_with(b".partial_image") => {
            record.content.visible = u64::from(slots.filled(IMAGE));
        }
        b"transcript.text.done"
        | b"speech.audio.done"
        | b"image_generation.completed"
        | b"image_edit.completed" => record.terminal = true,
        _ => {}
    }
    if slots.usage(usage::TOP).is_none() {
        let mut audio = Usage::default();
        audio.set_amount(Amount::Audio, slots.number(DURATION));
        record.count(&audio);
    }
    note_usage(event, record);
}
