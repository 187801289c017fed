//! What clients send beside the letter of OpenAI's API, and mean no harm by: whole numbers as floats, -1 and empty values
//! for "not set", a byte order mark, and paths that are put together with one slash or `/v1` too many or too few.

use axum::http::{Request, Uri, uri::PathAndQuery};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use std::{collections::BTreeMap, fmt};

/// Routes that are also found without `/v1`.
const UNVERSIONED: [&str; 7] =
    ["/chat/completions", "/completions", "/models", "/messages", "/responses", "/tokenize", "/detokenize"];

/// The body behind a byte order mark, which some programs put before JSON.
pub(in crate::api) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

/// A whole number from 0 on, also as `12.0`; -1 is none.
pub(in crate::api) fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(from)? else { return Ok(None) };
    match number {
        -1.0 => Ok(None),
        // Exact: such a float has no other value.
        number if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => Ok(Some(number as u32)),
        number => Err(D::Error::custom(format!("{number} is no whole number from 0 to {}", u32::MAX))),
    }
}

/// Biases by token; an empty array is none.
pub(in crate::api) fn biases<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BTreeMap<String, f32>>, D::Error> {
    struct Biases;
    impl<'de> Visitor<'de> for Biases {
        type Value = Option<BTreeMap<String, f32>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of token ids and numbers")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            match items.next_element::<IgnoredAny>()? {
                None => Ok(None),
                Some(_) => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
            BTreeMap::deserialize(MapAccessDeserializer::new(fields)).map(Some)
        }
    }
    from.deserialize_any(Biases)
}

/// The request with its path in the form that routes have.
pub(in crate::api) fn normalize<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = normalized(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The address with another path; `None` where that is as it should be.
fn normalized(uri: &Uri) -> Option<Uri> {
    let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let mut path = format!("/{}", parts.join("/"));
    while path.starts_with("/v1/v1/") {
        path.drain(..3);
    }
    let lacks_version = |route: &&str| path == **route || path.starts_with(&format!("{route}/"));
    if UNVERSIONED.iter().any(lacks_version) {
        path.insert_str(0, "/v1");
    }
    if path == uri.path() {
        return None;
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let mut all = uri.clone().into_parts();
    all.path_and_query = Some(PathAndQuery::try_from(path + &query).ok()?);
    Uri::from_parts(all).ok()
}

/// A message of serde without the names of this program's types.
pub(in crate::api) fn in_words(message: &str) -> String {
    let words =
        [("u32", "a whole number"), ("u64", "a whole number"), ("i64", "a whole number"), ("usize", "a whole number")];
    let words = words.into_iter().chain([("f32", "a number"), ("f64", "a number")]);
    words.fold(message.to_owned(), |message, (name, words)| {
        message.replace(&format!("expected {name}"), &format!("expected {words}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_were_meant_to() {
        for (sent, meant) in [
            ("/v1/models/", "/v1/models"),
            ("//v1//chat/completions", "/v1/chat/completions"),
            ("/v1/v1/models", "/v1/models"),
            ("/chat/completions?a=b", "/v1/chat/completions?a=b"),
            ("/models/org/demo", "/v1/models/org/demo"),
        ] {
            let uri = normalized(&sent.parse().expect("an address")).expect("another path");
            assert_eq!(uri.to_string(), meant);
        }
        for right in ["/", "/v1/models", "/openapi.json", "/modelsmith"] {
            assert_eq!(normalized(&right.parse().expect("an address")), None, "{right}");
        }
    }

    #[test]
    fn counts_may_be_floats_and_minus_one() {
        let read = |text: &str| count(&mut serde_json::Deserializer::from_str(text)).map_err(|error| error.to_string());
        assert_eq!(
            [read("12"), read("12.0"), read("-1"), read("null")],
            [Ok(Some(12)), Ok(Some(12)), Ok(None), Ok(None)]
        );
        for wrong in ["-2", "1.5", "4294967296", "1e300", "\"12\""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
