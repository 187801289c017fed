//! One file per subcommand.

pub(crate) mod coordinator;
pub(crate) mod demo;
pub(crate) mod invite;
pub(crate) mod limits;
pub(crate) mod member;
pub(crate) mod model;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod status;
pub(crate) mod worker;
