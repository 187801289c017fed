use crate::{
    CachedWeights, CodeDetails, Days, Diagnosis, EnergyFigures, Event, History, Range, SelfTest, Setting, Status,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{fmt, ops::RangeInclusive};
use ts_rs::TS;

/// The field that says which request it is.
const NAME: &str = "request";
/// Milliseconds between two states of [`Request::Follow`]: at most ten a second, at least one a minute.
pub const FOLLOW_MS: RangeInclusive<u32> = 100..=60_000;
/// Seconds of a pause that ends by itself: at most a year of 366 days.
pub const PAUSE_SECONDS: RangeInclusive<u64> = 1..=366 * 24 * 3600;

/// A request to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case", tag = "request", deny_unknown_fields)]
pub enum Request {
    /// The state, once.
    Status,
    /// The state at once, and again after each interval or change.
    Follow {
        /// Milliseconds between two, within [`FOLLOW_MS`].
        every_ms: u32,
    },
    /// Every limit.
    Limits,
    /// Changes limits: all of them or none.
    Set {
        /// Keys and values as `gogrid limits set` takes them.
        changes: Vec<(String, String)>,
    },
    /// Switches to a preset. A pause stays.
    Preset {
        /// `quiet`, `balanced` or `full`.
        name: String,
    },
    /// Stops computing.
    Pause(PauseRequest),
    /// Ends a pause.
    Resume,
    /// Joins the grid of this code and leaves the one before. Answered when the coordinator has admitted the machine.
    Join {
        /// What `gogrid invite` printed.
        code: String,
    },
    /// What a join code says: the grid's name, and its coordinator's key and addresses. It is not used.
    ReadCode {
        /// What `gogrid invite` printed.
        code: String,
    },
    /// Goes back to the grid that was left within the last ten minutes, without a new code. Answered as `join` is.
    JoinAgain,
    /// Leaves the grid. Answers under way are finished first, and the coordinator is informed.
    Leave,
    /// What charts show.
    History {
        /// How far back.
        range: Range,
    },
    /// Events of the timeline, oldest first.
    Events {
        /// All that are remembered (at most 2000) after this instant, in milliseconds since 1970. Without it, the
        /// latest 200.
        #[serde(default)]
        #[ts(type = "number | null")]
        after_ms: Option<u64>,
    },
    /// The work of each day.
    Days,
    /// Sets what the donor says of energy and its price; all of it is replaced.
    EnergyFigures(EnergyFigures),
    /// The weights that are kept on this machine's disk.
    Weights,
    /// Deletes weights that are not in use; answered with those that are left.
    ClearWeights {
        /// Those of this model only.
        #[serde(default)]
        model: Option<String>,
    },
    /// What was found on this machine.
    Diagnose,
    /// The names of programs that run now, as `stop-for` takes them.
    Programs,
    /// A few seconds of real work under the limits, and a stop, measured. Refused while a model computes.
    SelfTest {
        /// Finish the answers under way first, and take no new ones until the test is over.
        #[serde(default)]
        after_answers: bool,
    },
}

impl Request {
    /// Reads one line, without its end.
    ///
    /// # Errors
    /// If it is not JSON, not a request, has an unknown field, or a value out of range.
    pub fn from_line(line: &[u8]) -> Result<Self, RequestError> {
        let value =
            serde_json::from_slice(line).map_err(|error| RequestError::new(None, format!("not JSON: {error}")))?;
        let Value::Object(fields) = value else {
            return Err(RequestError::new(None, "a request is an object, such as {\"request\":\"status\"}"));
        };
        let request = Self::from_fields(&fields).map_err(|error| {
            let complaint = error.to_string();
            RequestError::new(at_fault(&fields, &complaint), complaint.clone())
        })?;
        if let Some(field) = request.unknown(&fields) {
            return Err(RequestError::new(Some(field), format!("`{field}` is not a field of this request")));
        }
        request.check()?;
        Ok(request)
    }

    fn from_fields(fields: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        serde_json::from_value(Value::Object(fields.clone()))
    }

    /// A field that the request does not have. Serde accepts any for a request without fields.
    fn unknown<'a>(&self, fields: &'a Map<String, Value>) -> Option<&'a str> {
        let known = serde_json::to_value(self).ok()?;
        fields.keys().find(|name| known.get(name).is_none()).map(String::as_str)
    }

    fn check(&self) -> Result<(), RequestError> {
        match self {
            Self::Follow { every_ms } => in_range("every_ms", every_ms, &FOLLOW_MS, "ms"),
            Self::Pause(PauseRequest { seconds: Some(seconds), .. }) => {
                in_range("seconds", seconds, &PAUSE_SECONDS, "s")
            }
            Self::EnergyFigures(figures) => figures.check(),
            _ => Ok(()),
        }
    }
}

/// The field that serde complains about, which it does not always name: the missing field, or the one whose removal
/// changes the complaint. Removing the request's name always changes it, so that name is tried last.
fn at_fault<'a>(fields: &'a Map<String, Value>, complaint: &'a str) -> Option<&'a str> {
    if let Some(missing) = complaint.strip_prefix("missing field `") {
        return missing.strip_suffix('`');
    }
    let names = || fields.keys().map(String::as_str);
    let mut last = names().filter(|name| *name != NAME).chain(names().filter(|name| *name == NAME));
    last.find(|name| without(fields, name).as_deref() != Some(complaint))
}

/// What serde says about the request without one of its fields.
fn without(fields: &Map<String, Value>, name: &str) -> Option<String> {
    let mut fields = fields.clone();
    fields.shift_remove(name);
    Request::from_fields(&fields).err().map(|error| error.to_string())
}

fn in_range<T: PartialOrd + fmt::Display>(
    field: &str,
    value: &T,
    range: &RangeInclusive<T>,
    unit: &str,
) -> Result<(), RequestError> {
    if range.contains(value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(RequestError::new(Some(field), format!("{field} = {value} is out of range: {least} to {most} {unit}")))
}

/// How to pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Seconds until it ends by itself, within [`PAUSE_SECONDS`]; without it, the pause lasts until the donor resumes.
    #[serde(default)]
    #[ts(type = "number | null")]
    pub seconds: Option<u64>,
    /// Finish the answers that are under way, and take no new ones.
    #[serde(default)]
    pub after_answers: bool,
}

/// The worker's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case", tag = "response", content = "body")]
pub enum Response {
    /// The state.
    Status(Box<Status>),
    /// Every limit, in the order in which they are shown.
    Limits(Vec<Setting>),
    /// What a join code says.
    Code(CodeDetails),
    /// What charts show.
    History(History),
    /// Events, oldest first.
    Events(Vec<Event>),
    /// The work of each day.
    Days(Days),
    /// What is kept.
    Weights(CachedWeights),
    /// What was found.
    Diagnosis(Diagnosis),
    /// Names, sorted.
    Programs(Vec<String>),
    /// What was measured.
    SelfTest(SelfTest),
    /// Done. After a pause: computing has stopped, or stops after the answers under way.
    Done,
    /// Not done, and why.
    Refused(RequestError),
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RequestError {
    /// The wrong field, if the error is about one.
    pub field: Option<String>,
    /// Why, for people.
    pub message: String,
}

impl RequestError {
    /// An error about this field, if it is about one, with this reason.
    pub fn new(field: Option<&str>, message: impl Into<String>) -> Self {
        Self { field: field.map(str::to_owned), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Managed;
    use proptest::prelude::*;
    use rstest::rstest;

    fn refused(line: &str) -> RequestError {
        Request::from_line(line.as_bytes()).unwrap_err()
    }

    #[rstest]
    #[case(r#"{"request":"status"}"#, Request::Status)]
    #[case(r#"{"request":"follow","every_ms":100}"#, Request::Follow { every_ms: 100 })]
    #[case(r#"{"request":"events"}"#, Request::Events { after_ms: None })]
    #[case(r#"{"request":"events","after_ms":0}"#, Request::Events { after_ms: Some(0) })]
    #[case(r#"{"request":"pause"}"#, Request::Pause(PauseRequest::default()))]
    #[case(r#"{"request":"self_test"}"#, Request::SelfTest { after_answers: false })]
    #[case(r#"{"request":"self_test","after_answers":true}"#, Request::SelfTest { after_answers: true })]
    #[case(
        r#" {"after_answers":true,"request":"pause"} "#,
        Request::Pause(PauseRequest { seconds: None, after_answers: true })
    )]
    #[case(
        r#"{"request":"set","changes":[["cpu","25"]]}"#,
        Request::Set { changes: vec![("cpu".into(), "25".into())] }
    )]
    fn requests_are_read_as_they_are_documented(#[case] line: &str, #[case] request: Request) {
        assert_eq!(Request::from_line(line.as_bytes()), Ok(request));
    }

    #[rstest]
    #[case::not_json("status", None, "not JSON")]
    #[case::empty("", None, "not JSON")]
    #[case::no_object("[1]", None, "a request is an object")]
    #[case::no_request("{}", Some("request"), "missing field `request`")]
    #[case::other_request(r#"{"request":"fly"}"#, Some("request"), "`fly`")]
    #[case::wrong_case(r#"{"request":"Status"}"#, Some("request"), "`status`")]
    #[case::field_of_none(r#"{"request":"status","now":1}"#, Some("now"), "`now`")]
    #[case::field_too_many(r#"{"request":"follow","every_ms":500,"speed":2}"#, Some("speed"), "`speed`")]
    #[case::field_of_a_pause(r#"{"request":"pause","minutes":5}"#, Some("minutes"), "`minutes`")]
    #[case::wrong_type(r#"{"request":"follow","every_ms":"1s"}"#, Some("every_ms"), "expected u32")]
    #[case::missing(r#"{"request":"preset"}"#, Some("name"), "missing field `name`")]
    #[case::too_often(r#"{"request":"follow","every_ms":99}"#, Some("every_ms"), "99 is out of range: 100 to 60000 ms")]
    #[case::price(r#"{"request":"energy_figures","price":-1}"#, Some("price"), "-1 is out of range: 0 to 1000000")]
    #[case::watts(
        r#"{"request":"energy_figures","rest_watts":0}"#,
        Some("rest_watts"),
        "0 is out of range: 1 to 5000 W"
    )]
    #[case::less_than_rest(
        r#"{"request":"energy_figures","rest_watts":60,"full_watts":40}"#,
        Some("full_watts"),
        "40 is out of range: at least the 60 W at rest"
    )]
    #[case::currency(r#"{"request":"energy_figures","currency":"doubloons"}"#, Some("currency"), "more than 8")]
    #[case::no_pause(r#"{"request":"pause","seconds":0}"#, Some("seconds"), "0 is out of range: 1 to 31622400 s")]
    fn what_is_no_request_is_refused_by_name(#[case] line: &str, #[case] field: Option<&str>, #[case] says: &str) {
        let refused = refused(line);
        assert_eq!(refused.field.as_deref(), field, "{refused:?}");
        assert!(refused.message.contains(says), "{refused:?}");
    }

    #[test]
    fn responses_survive_the_way() {
        for response in [
            Response::Done,
            Response::Refused(RequestError::new(Some("cpu"), "cpu = 150 is out of range: 1 to 100 %")),
            Response::Limits(vec![Setting {
                key: "cpu".into(),
                value: "25".into(),
                changed: true,
                help: "Most of all cores' time: 1 to 100 %".into(),
                default: "50".into(),
                managed: Some(Managed { bound: "60%".into(), hidden: false }),
                no_signal: None,
            }]),
        ] {
            let line = serde_json::to_string(&response).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Response>(&line).unwrap(), response);
        }
    }

    fn requests() -> impl Strategy<Value = Request> {
        prop_oneof![
            Just(Request::Status),
            Just(Request::Limits),
            Just(Request::Resume),
            FOLLOW_MS.prop_map(|every_ms| Request::Follow { every_ms }),
            any::<String>().prop_map(|name| Request::Preset { name }),
            any::<Vec<(String, String)>>().prop_map(|changes| Request::Set { changes }),
            (proptest::option::of(PAUSE_SECONDS), any::<bool>())
                .prop_map(|(seconds, after_answers)| Request::Pause(PauseRequest { seconds, after_answers })),
        ]
    }

    proptest! {
        #[test]
        fn every_request_is_read_as_it_was_written(request in requests()) {
            let line = serde_json::to_vec(&request).unwrap();
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(Request::from_line(&line), Ok(request));
        }

        #[test]
        fn no_line_at_all_panics(line in any::<Vec<u8>>()) {
            drop(Request::from_line(&line));
        }
    }
}
