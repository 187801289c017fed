//! One file per subcommand.

pub(crate) mod audit;
pub(crate) mod coordinator;
pub(crate) mod demo;
pub(crate) mod hub;
pub(crate) mod invite;
pub(crate) mod key;
pub(crate) mod limits;
pub(crate) mod member;
pub(crate) mod model;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod status;
pub(crate) mod usage;
pub(crate) mod worker;

/// A time in seconds since the Unix epoch, as in `2026-11-30 14:05`, on this machine's clock.
fn date(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let zone = jiff::tz::TimeZone::system();
    at.map_or_else(|| "?".into(), |at| at.to_zoned(zone).strftime("%F %R").to_string())
}
