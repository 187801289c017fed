//! The arguments of a call, once they have values.

use super::Failure;
use super::value::Value;

#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(String, Value)>,
}

impl Arguments {
    /// The values of these parameters, in their order.
    pub(super) fn bind<const N: usize>(self, function: &str, names: [&str; N]) -> Result<[Option<Value>; N], Failure> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            let count = self.positional.len();
            return Err(Failure::fault(format!("{function} takes {N} arguments at most, but {count} were given")));
        }
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            match names.iter().position(|known| *known == name) {
                Some(place) if bound[place].is_none() => bound[place] = Some(value),
                Some(_) => return Err(Failure::fault(format!("{function} got two values for '{name}'"))),
                None => return Err(Failure::fault(format!("{function} has no argument '{name}'"))),
            }
        }
        Ok(bound)
    }

    /// No arguments at all.
    pub(super) fn none(self, function: &str) -> Result<(), Failure> {
        self.bind(function, []).map(|_: [Option<Value>; 0]| ())
    }
}

/// An integer argument.
pub(super) fn integer(value: &Value, name: &str) -> Result<i64, Failure> {
    let wrong = || Failure::fault(format!("{name} must be an integer, not '{}'", value.type_name()));
    value.as_int().ok_or_else(wrong)
}

/// A text argument.
pub(super) fn string<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failure> {
    let wrong = || Failure::fault(format!("{name} must be a string, not '{}'", value.type_name()));
    value.as_str().ok_or_else(wrong)
}

/// An integer argument that need not be there; none counts as not there.
pub(super) fn optional_integer(value: Option<&Value>, name: &str) -> Result<Option<i64>, Failure> {
    value.filter(|value| !matches!(value, Value::None)).map(|value| integer(value, name)).transpose()
}
