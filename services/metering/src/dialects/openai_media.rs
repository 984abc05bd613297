//! OpenAI audio and images (spec 5.6, 5.7): multipart or JSON requests, usage
//! by tokens or by time, streams with one delta event each.

use crate::dialect::Operation;
use crate::json::Slots;
use crate::record::Record;
use crate::target::{Ask, Route, Target};
use crate::usage::{self, Amount, Usage};
use crate::wire::{Event, Framing, TYPE, Wire, fold, length, note_error, note_usage, value};

crate::wire::shape! { SHAPE ROWS {
    DELTA = length("delta");
    AUDIO = length("audio");
    IMAGE = length("b64_json");
    MADE = fold("data[]", fold_made);
    MADE_URL = length("data[].url");
    MADE_DATA = length("data[].b64_json");
    MADE_COUNT = value("data.~images");
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

/// An image of an answer, as its address or as data.
fn fold_made(slots: &mut Slots, _: u64) {
    if slots.filled(MADE_URL) || slots.filled(MADE_DATA) {
        slots.add(MADE_COUNT, 1);
    }
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
        b"transcript.text.done" | b"speech.audio.done" => record.terminal = true,
        b"image_generation.completed" | b"image_edit.completed" => {
            record.terminal = true;
            record.images = Some(record.images.unwrap_or(0) + 1);
        }
        _ => {}
    }
    if event.document && slots.some(MADE_COUNT) {
        record.images = slots.count(MADE_COUNT);
    }
    if slots.usage(usage::TOP).is_none() {
        let mut audio = Usage::default();
        audio.set_amount(Amount::Audio, slots.number(DURATION));
        record.count(&audio);
    }
    note_usage(event, record);
}
