use super::{figures::label, morning::seconds_until_morning, view::Action};
use gogrid_limits::Preset;
use gogrid_panel_api::{PauseRequest, Request};
use jiff::Zoned;

/// An entry of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MenuEntry {
    /// Pause, resume or join, as the menu says.
    PauseOrResume,
    /// Pause for some minutes.
    Minutes(u16),
    /// Pause until the next morning.
    UntilTomorrow,
    /// Pause when the answers in flight are finished.
    AfterAnswers,
    /// Switch to a preset.
    Preset(Preset),
    /// Open the window.
    Open,
    /// End the app.
    Quit,
}

impl MenuEntry {
    /// The pauses that end by themselves, in the menu's order.
    pub(super) const PAUSES: [Self; 4] =
        [Self::Minutes(15), Self::Minutes(60), Self::UntilTomorrow, Self::AfterAnswers];
    /// The presets, in the menu's order.
    pub(super) const PRESETS: [Self; 3] =
        [Self::Preset(Preset::Quiet), Self::Preset(Preset::Balanced), Self::Preset(Preset::Full)];
    const ALL: [Self; 10] = [
        Self::PauseOrResume,
        Self::Minutes(15),
        Self::Minutes(60),
        Self::UntilTomorrow,
        Self::AfterAnswers,
        Self::Preset(Preset::Quiet),
        Self::Preset(Preset::Balanced),
        Self::Preset(Preset::Full),
        Self::Open,
        Self::Quit,
    ];

    /// The entry's id in the menu's events.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::PauseOrResume => "act",
            Self::Minutes(15) => "pause-15-minutes",
            Self::Minutes(_) => "pause-1-hour",
            Self::UntilTomorrow => "pause-until-tomorrow",
            Self::AfterAnswers => "pause-after-answers",
            Self::Preset(Preset::Quiet) => "preset-quiet",
            Self::Preset(Preset::Balanced) => "preset-balanced",
            Self::Preset(Preset::Full) => "preset-full",
            Self::Open => "open",
            Self::Quit => "quit",
        }
    }

    /// The text of the entry.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::PauseOrResume => Action::Pause.label(),
            Self::Minutes(15) => "15 minutes",
            Self::Minutes(_) => "1 hour",
            Self::UntilTomorrow => "Until tomorrow",
            Self::AfterAnswers => "After the current answers",
            Self::Preset(preset) => label(preset),
            Self::Open => "Open GoGrid",
            Self::Quit => "Quit",
        }
    }

    /// The entry with this id.
    pub(super) fn of(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entry| entry.id() == id)
    }

    /// The request to the worker; none for what the app does itself.
    pub(super) fn request(self, shown: Action, now: &Zoned) -> Option<Request> {
        let pause = |seconds, after_answers| Some(Request::Pause(PauseRequest { seconds, after_answers }));
        match self {
            Self::Preset(preset) => Some(Request::Preset { name: preset.to_string() }),
            // Nothing can be paused yet: the app opens its window to join.
            _ if shown == Action::Join => None,
            Self::PauseOrResume if shown == Action::Resume => Some(Request::Resume),
            Self::PauseOrResume => pause(None, false),
            Self::Minutes(minutes) => pause(Some(u64::from(minutes) * 60), false),
            Self::UntilTomorrow => pause(Some(seconds_until_morning(now)), false),
            Self::AfterAnswers => pause(None, true),
            Self::Open | Self::Quit => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn evening() -> Zoned {
        "2026-11-25T20:00:00+00:00[UTC]".parse().unwrap()
    }

    const fn pause(seconds: Option<u64>, after_answers: bool) -> Option<Request> {
        Some(Request::Pause(PauseRequest { seconds, after_answers }))
    }

    #[rstest]
    #[case(MenuEntry::PauseOrResume, Action::Pause, pause(None, false))]
    #[case(MenuEntry::PauseOrResume, Action::Resume, Some(Request::Resume))]
    #[case(MenuEntry::Minutes(15), Action::Pause, pause(Some(900), false))]
    #[case(MenuEntry::Minutes(60), Action::Resume, pause(Some(3600), false))]
    #[case(MenuEntry::UntilTomorrow, Action::Pause, pause(Some(12 * 3600), false))]
    #[case(MenuEntry::AfterAnswers, Action::Pause, pause(None, true))]
    #[case(MenuEntry::Preset(Preset::Quiet), Action::Pause, Some(Request::Preset { name: "quiet".into() }))]
    #[case(MenuEntry::Preset(Preset::Quiet), Action::Join, Some(Request::Preset { name: "quiet".into() }))]
    #[case(MenuEntry::PauseOrResume, Action::Join, None)]
    #[case(MenuEntry::Minutes(15), Action::Join, None)]
    #[case(MenuEntry::Open, Action::Pause, None)]
    #[case(MenuEntry::Quit, Action::Pause, None)]
    fn each_entry_asks_for_what_it_says(
        #[case] entry: MenuEntry,
        #[case] shown: Action,
        #[case] request: Option<Request>,
    ) {
        assert_eq!(entry.request(shown, &evening()), request);
    }

    #[test]
    fn each_entry_is_found_by_its_id() {
        for entry in MenuEntry::ALL {
            assert_eq!(MenuEntry::of(entry.id()), Some(entry));
        }
        assert_eq!(MenuEntry::of("fly"), None);
    }

    #[test]
    fn the_labels_are_those_of_the_contract() {
        let labels = MenuEntry::ALL.map(MenuEntry::label);
        let contract = [
            "Pause",
            "15 minutes",
            "1 hour",
            "Until tomorrow",
            "After the current answers",
            "Quiet",
            "Balanced",
            "Full",
            "Open GoGrid",
            "Quit",
        ];
        assert_eq!(labels, contract);
    }
}
