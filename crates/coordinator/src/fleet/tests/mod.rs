//! The fleet and the router together, with machines that are a few lines each: what happens when they come and go.
//!
//! The machines "compute" a token from all tokens before it, so that one that is lost, repeated or out of order changes
//! every token after it. Time is real, and ten times as fast as outside.

mod authority;
mod constrained;
mod deadlines;
mod grid;
mod groups;
mod known;
mod machine;
mod memory;
mod moves;
mod plans;
mod reads;
mod reasons;
mod ring;
mod stale;
mod storm;
mod takeover;
mod unread;
