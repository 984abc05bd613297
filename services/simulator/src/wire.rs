//! JSON text with its members in the order in which real servers write them.
//! (`serde_json::Value` sorts them, and clients see the order on the wire.)

use std::fmt::Write as _;

/// Something that has a JSON form.
pub(crate) trait Json {
    /// Appends the JSON text.
    fn write(&self, out: &mut String);
}

/// A JSON object: its members, written in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object(String);

impl Object {
    /// Adds a member.
    pub(crate) fn member(mut self, key: &str, value: impl Json) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        key.write(&mut self.0);
        self.0.push(':');
        value.write(&mut self.0);
        self
    }

    /// Adds a member if there is a value; `None` leaves the member out.
    pub(crate) fn maybe(self, key: &str, value: Option<impl Json>) -> Self {
        match value {
            Some(value) => self.member(key, value),
            None => self,
        }
    }

    /// Adds all members of another object.
    pub(crate) fn and(mut self, other: Self) -> Self {
        if self.0.is_empty() {
            return other;
        }
        if !other.0.is_empty() {
            self.0.push(',');
            self.0.push_str(&other.0);
        }
        self
    }

    /// The JSON text.
    pub(crate) fn text(&self) -> String {
        let mut out = String::with_capacity(self.0.len() + 2);
        self.write(&mut out);
        out
    }
}

/// An [`Object`] from `"key": value` pairs.
macro_rules! object {
    ($($key:literal : $value:expr),* $(,)?) => {
        $crate::wire::Object::default()$(.member($key, $value))*
    };
}
pub(crate) use object;

/// `null`.
pub(crate) struct Null;

/// Text that is JSON already.
pub(crate) struct Raw<'a>(pub(crate) &'a str);

/// `[]`.
pub(crate) struct EmptyArray;

impl Json for Object {
    fn write(&self, out: &mut String) {
        out.push('{');
        out.push_str(&self.0);
        out.push('}');
    }
}

impl Json for Null {
    fn write(&self, out: &mut String) {
        out.push_str("null");
    }
}

impl Json for Raw<'_> {
    fn write(&self, out: &mut String) {
        out.push_str(self.0);
    }
}

impl Json for EmptyArray {
    fn write(&self, out: &mut String) {
        out.push_str("[]");
    }
}

impl Json for str {
    fn write(&self, out: &mut String) {
        out.push('"');
        for character in self.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                control if control < ' ' => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{:04x}", u32::from(control));
                }
                other => out.push(other),
            }
        }
        out.push('"');
    }
}

impl Json for String {
    fn write(&self, out: &mut String) {
        self.as_str().write(out);
    }
}

impl Json for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl Json for u64 {
    fn write(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

impl Json for f64 {
    fn write(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

impl<T: Json> Json for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }
}

impl<T: Json> Json for [T] {
    fn write(&self, out: &mut String) {
        out.push('[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            value.write(out);
        }
        out.push(']');
    }
}

impl<T: Json, const N: usize> Json for [T; N] {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

impl<T: Json> Json for Vec<T> {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

impl<T: Json + ?Sized> Json for &T {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn members_keep_their_order_and_the_text_is_json() {
        let object = object! {
            "z": "a \"quoted\"\n\u{1} wörld",
            "a": [object! { "n": 1_u64, "f": 0.5_f64 }, object! {}],
            "none": Null,
            "list": EmptyArray,
        }
        .maybe("left_out", None::<bool>)
        .maybe("kept", Some(true));
        let text = object.text();
        assert!(text.starts_with("{\"z\":"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "z": "a \"quoted\"\n\u{1} wörld", "a": [{"n": 1, "f": 0.5}, {}], "none": null,
            "list": [], "kept": true
        });
        assert_eq!(value, expected);
    }
}
