use crate::RequestError;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use ts_rs::TS;

/// The price of a kilowatt-hour: less than any currency's largest.
const PRICE: RangeInclusive<f64> = 0.0..=1_000_000.0;
/// What a computer may draw, in watts.
const WATTS: RangeInclusive<f32> = 1.0..=5000.0;
/// Characters of a currency's name or sign.
const CURRENCY: usize = 8;

/// What the donor says of the computer's energy and of its price. The worker counts with it where it cannot measure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default, deny_unknown_fields)]
pub struct EnergyFigures {
    /// The price of a kilowatt-hour, 0 to 1,000,000.
    pub price: Option<f64>,
    /// Its currency as it is shown, such as `€` or `SEK`; at most 8 characters.
    pub currency: String,
    /// What the whole computer draws at rest, 1 to 5000 W.
    pub rest_watts: Option<f32>,
    /// What it draws with all cores busy; not less than at rest.
    pub full_watts: Option<f32>,
}

impl EnergyFigures {
    /// Checks the ranges.
    ///
    /// # Errors
    /// With the field that is out of its range.
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        let wrong = |field: &str, why: String| Err(RequestError::new(Some(field), format!("{field} {why}")));
        if let Some(price) = self.price.filter(|price| !PRICE.contains(price)) {
            return wrong("price", format!("= {price} is out of range: 0 to 1000000"));
        }
        for (field, watts) in [("rest_watts", self.rest_watts), ("full_watts", self.full_watts)] {
            if let Some(watts) = watts.filter(|watts| !WATTS.contains(watts)) {
                return wrong(field, format!("= {watts} is out of range: 1 to 5000 W"));
            }
        }
        if let Some((rest, full)) = self.rest_watts.zip(self.full_watts).filter(|(rest, full)| full < rest) {
            return wrong("full_watts", format!("= {full} is out of range: at least the {rest} W at rest"));
        }
        if self.currency.chars().count() > CURRENCY || self.currency.contains(char::is_control) {
            return wrong("currency", format!("has more than {CURRENCY} characters, or some that are not shown"));
        }
        Ok(())
    }
}
