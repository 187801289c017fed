use jiff::Zoned;

/// When "until tomorrow" ends: before most people sit down at work.
const HOUR: i8 = 8;
/// Before this hour the donor has not gone to bed yet, and means the coming morning.
const NIGHT_ENDS: i8 = 5;
/// The fallback for a clock that cannot be trusted: a night.
const A_NIGHT: u64 = 8 * 3600;

/// Seconds until tomorrow at 8:00 on the donor's clock.
pub(super) fn seconds_until_morning(now: &Zoned) -> u64 {
    let day = if now.hour() < NIGHT_ENDS { Ok(now.date()) } else { now.date().tomorrow() };
    day.and_then(|day| day.at(HOUR, 0, 0, 0).to_zoned(now.time_zone().clone()))
        .ok()
        .and_then(|morning| u64::try_from(morning.duration_since(now).as_secs()).ok())
        .filter(|seconds| *seconds > 0)
        .unwrap_or(A_NIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::evening("2026-11-25T18:00:00+01:00[Europe/Berlin]", 14 * 3600)]
    #[case::morning("2026-11-25T08:00:00+01:00[Europe/Berlin]", 24 * 3600)]
    #[case::late_night("2026-11-25T04:59:59+01:00[Europe/Berlin]", 3 * 3600 + 1)]
    #[case::early("2026-11-25T05:00:00+01:00[Europe/Berlin]", 27 * 3600)]
    #[case::midnight("2026-11-25T00:00:00+01:00[Europe/Berlin]", 8 * 3600)]
    #[case::end_of_the_year("2026-12-31T20:00:00+00:00[UTC]", 12 * 3600)]
    #[case::a_night_of_25_hours("2026-10-24T20:00:00+02:00[Europe/Berlin]", 13 * 3600)]
    #[case::a_night_of_23_hours("2026-03-28T20:00:00+01:00[Europe/Berlin]", 11 * 3600)]
    fn it_is_eight_the_next_morning(#[case] now: &str, #[case] seconds: u64) {
        assert_eq!(seconds_until_morning(&now.parse().unwrap()), seconds);
    }
}
