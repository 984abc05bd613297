//! Amazon Bedrock (spec 9.1, 9.2): Converse, and Invoke with the format of the
//! model's family inside. Inputs leave cache reads and writes out.

use crate::dialect::Operation;
use crate::dialects::any;
use crate::record::Record;
use crate::target::{Ask, Route};
use crate::usage::{self, Count, Usage};
use crate::wire::{Event, Framing, Wire, length, note_error, note_usage, value};

pub(crate) use converse::CONVERSE;
pub(crate) use invoke::INVOKE;

mod converse {
    use super::{
        Ask, Event, Framing, Operation, Record, Route, Wire, length, note_error, note_usage, usage,
        value,
    };

    crate::wire::shape! { SHAPE ROWS {
        STOP = value("stopReason");
        TIER = value("serviceTier.type");
        TEXT = length("delta.text");
        REASONING = length("delta.reasoningContent.text");
        TOOL_INPUT = length("delta.toolUse.input");
        TOOL_START = value("start.toolUse");
    } }

    pub(crate) static CONVERSE: Wire = Wire {
        id: "bedrock-converse",
        operation: Operation::Chat,
        route: |target| {
            let stream = target.between("/model/", "/converse-stream");
            let ask = if stream.is_some() { Ask::Yes } else { Ask::No };
            let model = stream.or_else(|| target.between("/model/", "/converse"))?;
            Some(Route { model: Some(model), ask, ..Route::default() })
        },
        shape: &SHAPE,
        event,
        tokens: usage::tokens,
        framing: Framing::Frames,
        done: false,
    };

    fn event(event: &Event<'_>, record: &mut Record) {
        let slots = event.slots;
        note_error(event, record);
        record.set_tier(slots.text(TIER));
        record.set_finish(slots.text(STOP));
        record.terminal |= event.name == b"messageStop";
        record.content.visible = slots.length(TEXT)
            + slots.length(TOOL_INPUT)
            + u64::from(event.name == b"contentBlockStart" && slots.some(TOOL_START));
        record.content.hidden = slots.length(REASONING);
        note_usage(event, record);
    }
}

mod invoke {
    use super::{Ask, Count, Event, Framing, Operation, Record, Route, Usage, Wire, any, usage};

    pub(crate) static INVOKE: Wire = Wire {
        id: "bedrock-invoke",
        operation: Operation::Chat,
        route: |target| {
            let stream = target.between("/model/", "/invoke-with-response-stream");
            let ask = if stream.is_some() { Ask::Yes } else { Ask::No };
            let model = stream.or_else(|| target.between("/model/", "/invoke"))?;
            Some(Route { model: Some(model), ask, ..Route::default() })
        },
        shape: &any::SHAPE,
        event,
        tokens: usage::tokens,
        framing: Framing::Wrapped,
        done: false,
    };

    fn event(event: &Event<'_>, record: &mut Record) {
        any::event(event, record);
        // Every family ends with the metrics.
        record.terminal |= event.slots.some(usage::METRICS);
        record.count_spare(&Usage::of([
            (Count::Prompt, event.headers.prompt),
            (Count::Completion, event.headers.completion),
        ]));
    }
}
