/// The phase of the window's lifecycle. A click during `Closing` must not raise a window that is about to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    #[default]
    Closed,
    /// It is there or being created.
    Open,
    /// It is being destroyed.
    Closing {
        /// Whether to open it again afterwards.
        again: bool,
    },
}

/// What to do to show the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Make,
    Raise,
    /// Create it when the old one is gone.
    Later,
}

impl Phase {
    pub(super) fn open(&mut self) -> Open {
        match self {
            Self::Closed => {
                *self = Self::Open;
                Open::Make
            }
            Self::Open => Open::Raise,
            Self::Closing { again } => {
                *again = true;
                Open::Later
            }
        }
    }

    pub(super) fn closing(&mut self) {
        if *self == Self::Open {
            *self = Self::Closing { again: false };
        }
    }

    /// Whether to open it again.
    pub(super) fn closed(&mut self) -> bool {
        std::mem::take(self) == Self::Closing { again: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_makes_the_window_and_the_next_one_raises_it() {
        let mut phase = Phase::default();
        assert_eq!([phase.open(), phase.open()], [Open::Make, Open::Raise]);
        phase.closing();
        assert!(!phase.closed());
        assert_eq!(phase.open(), Open::Make);
    }

    #[test]
    fn a_click_while_it_closes_opens_it_again() {
        let mut phase = Phase::default();
        phase.open();
        phase.closing();
        assert_eq!(phase.open(), Open::Later);
        phase.closing();
        assert!(phase.closed());
        assert_eq!(phase.open(), Open::Make);
    }

    #[test]
    fn a_window_that_could_not_be_made_can_be_tried_again() {
        let mut phase = Phase::default();
        phase.open();
        assert!(!phase.closed());
        assert_eq!(phase.open(), Open::Make);
    }
}
