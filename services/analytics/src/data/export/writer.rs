//! Bytes of an export.

use std::io::{self, BufWriter, Write};

use modash_proto::v1::UsageEvent;

use super::{
    ExportFormat,
    record::{Names, Record},
};

/// Writes requests one after the other.
pub(super) struct Writer {
    form: Form,
    names: Names,
}

enum Form {
    Csv(Box<csv::Writer<Box<dyn Write + Send>>>),
    Jsonl(BufWriter<Box<dyn Write + Send>>),
}

impl Writer {
    /// A form begins with its head line, if it has one, whether requests follow or
    /// not.
    pub(super) fn new(
        format: ExportFormat,
        names: Names,
        to: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let to: Box<dyn Write + Send> = Box::new(to);
        let form = match format {
            ExportFormat::Csv => {
                let mut form = csv::WriterBuilder::new();
                let mut writer = form.has_headers(false).buffer_capacity(1 << 16).from_writer(to);
                writer.write_record(&csv_head()?)?;
                Form::Csv(Box::new(writer))
            }
            ExportFormat::Jsonl => Form::Jsonl(BufWriter::with_capacity(1 << 16, to)),
        };
        Ok(Self { form, names })
    }

    pub(super) fn write(&mut self, event: &UsageEvent) -> io::Result<()> {
        match &mut self.form {
            Form::Csv(writer) => {
                let record = Record::new(event, &self.names, |nested| nested.to_string());
                writer.serialize(record).map_err(io::Error::from)
            }
            Form::Jsonl(writer) => {
                let record = Record::new(event, &self.names, |nested| nested);
                serde_json::to_writer(&mut *writer, &record)?;
                writer.write_all(b"\n")
            }
        }
    }

    /// Hands the last bytes on.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Csv(writer) => writer.flush(),
            Form::Jsonl(writer) => writer.flush(),
        }
    }
}

/// The names of the columns, as they come with a request.
fn csv_head() -> csv::Result<csv::StringRecord> {
    let mut text = Vec::new();
    let mut writer = csv::Writer::from_writer(&mut text);
    let (event, names) = (UsageEvent::default(), Names::default());
    writer.serialize(Record::new(&event, &names, |nested| nested.to_string()))?;
    writer.flush()?;
    drop(writer);
    csv::Reader::from_reader(text.as_slice()).headers().cloned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use modash_proto::v1::LogHistogram;

    use super::*;
    use crate::store::NameRow;

    #[derive(Clone, Default)]
    struct Bytes(Arc<Mutex<Vec<u8>>>);

    impl Write for Bytes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: ExportFormat, events: &[UsageEvent]) -> String {
        let named = |kind, id: &str, name: &str| NameRow { kind, id: id.into(), name: name.into() };
        let names = vec![named(1, "key", "CI"), named(2, "key", "nobody")];
        let bytes = Bytes::default();
        let mut writer = Writer::new(format, names.into(), bytes.clone()).unwrap();
        events.iter().for_each(|event| writer.write(event).unwrap());
        writer.finish().unwrap();
        let bytes = bytes.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn one() -> [UsageEvent; 1] {
        let event = UsageEvent {
            event_id: "id".into(),
            model: Some("a \"b\", c\nd".into()),
            tags: [("app".into(), "x,y".into())].into(),
            client_key: Some("key".into()),
            prompt_tokens: Some(0),
            token_gaps: Some(LogHistogram { indexes: vec![3], counts: vec![7] }),
            outcome: 2,
            ..UsageEvent::default()
        };
        [event]
    }

    #[test]
    fn no_requests_are_a_head_line_of_csv_and_no_lines_of_json() {
        let with_one = written(ExportFormat::Csv, &one());
        let head = with_one.lines().next().unwrap();
        assert!(head.starts_with("event_id,replica_id,started_at,"), "{head}");
        assert_eq!(written(ExportFormat::Csv, &[]), format!("{head}\n"));
        assert_eq!(written(ExportFormat::Jsonl, &[]), "");
    }

    #[test]
    fn quotes_commas_and_line_ends_survive_csv() {
        let text = written(ExportFormat::Csv, &one());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let cell = |name| &row[names.iter().position(|other| other == name).unwrap()];
        assert_eq!(cell("model"), "a \"b\", c\nd");
        assert_eq!(cell("tags"), r#"{"app":"x,y"}"#);
        assert_eq!(cell("token_gaps"), "[[3,7]]");
        assert_eq!((cell("prompt_tokens"), cell("completion_tokens")), ("0", ""));
    }

    #[test]
    fn a_line_of_json_is_one_request_and_unknown_is_null() {
        let text = written(ExportFormat::Jsonl, &one());
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["tags"]["app"], "x,y");
        assert_eq!(value["outcome"], "http_error");
        assert_eq!(
            (&value["client_key"], &value["client_key_name"]),
            (&"key".into(), &"CI".into())
        );
        assert!(value["user_name"].is_null());
        assert_eq!(value["prompt_tokens"], 0);
        assert!(value["completion_tokens"].is_null());
    }
}
