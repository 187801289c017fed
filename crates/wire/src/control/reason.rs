//! The reasons that a machine gives to its coordinator: classes, never what its owner does.
//!
//! A class travels as its text, so that older programs, which take any text, show it. Text that is no class, such as
//! the sentences of older workers, is read as the last class of its kind, and thus goes no further.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident, $count:literal { $($(#[$why:meta])* $variant:ident = $text:literal,)+ } or $other:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(into = "&'static str", from = "String")]
        pub enum $name {
            $($(#[$why])* $variant,)+
        }

        impl $name {
            /// Every class.
            pub const ALL: [Self; $count] = [$(Self::$variant),+];

            /// The class in words, as it travels.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl From<$name> for &'static str {
            fn from(reason: $name) -> Self {
                reason.text()
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::ALL.into_iter().find(|reason| reason.text() == text).unwrap_or(Self::$other)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

reasons! {
    /// Why a machine takes no new sessions.
    StopReason, 3 {
        /// Its owner paused it, at once or after the answers under way.
        Paused = "paused by its owner",
        /// One of its owner's rules leaves nothing now.
        Limited = "limited now",
        /// Anything else.
        Unavailable = "not taking work",
    } or Unavailable
}

reasons! {
    /// Why a machine gave a stage up.
    GoneReason, 3 {
        /// Its owner or the machine leaves less memory than before.
        LessMemory = "less memory is lent now",
        /// It has computed nothing for long.
        NotComputing = "not computing for long",
        /// Anything else.
        GivenUp = "the stage was given up",
    } or GivenUp
}

reasons! {
    /// Why a machine cannot load a stage. The whole error is in the machine's own log.
    LoadFailure, 9 {
        /// The manifest or the weight type is not usable.
        Manifest = "its manifest or weight type cannot be used there",
        /// It needs more memory than is lent, or than is free.
        Memory = "it needs more memory than is lent",
        /// The weights' server cannot be reached, or broke off.
        Unreachable = "the weights' server cannot be reached",
        /// Weights differ from their hashes.
        Mismatch = "weights do not match their hashes",
        /// The weights need more disk than is lent.
        DiskLimit = "the weights need more disk than is lent",
        /// The weights cannot be written.
        Disk = "the weights cannot be kept on the disk",
        /// The back end cannot build it.
        Build = "it cannot be built from its weights",
        /// The machine has as many stages as it takes, or this one already.
        Refused = "the machine takes on no further stage",
        /// Anything else.
        Failed = "it cannot be loaded",
    } or Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_travels_as_its_text() {
        for reason in StopReason::ALL {
            let bytes = postcard::to_stdvec(&reason).expect("encoded");
            assert_eq!(bytes, postcard::to_stdvec(reason.text()).expect("encoded"), "older programs read a text");
            assert_eq!(postcard::from_bytes::<StopReason>(&bytes), Ok(reason));
        }
    }

    #[test]
    fn a_text_that_is_no_class_goes_no_further() {
        let read = |text: &str| postcard::from_bytes::<StopReason>(&postcard::to_stdvec(text).expect("encoded"));
        for told in ["You are using the computer", "blender is running", "Paused until 14:30", ""] {
            assert_eq!(read(told), Ok(StopReason::Unavailable), "{told}");
        }
        assert_eq!(GoneReason::from("less memory is lent now: blender is running".to_owned()), GoneReason::GivenUp);
        assert_eq!(LoadFailure::from("keeping tensor 'x' in /home/anna".to_owned()), LoadFailure::Failed);
    }
}
