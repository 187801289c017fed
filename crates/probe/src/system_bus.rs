use nix::sys::socket::UnixAddr;
use rustbus::{
    RpcConn,
    connection::{Error, Timeout, get_system_bus_path},
};
use std::env;

/// Connects to the system bus: the one that the environment names, as D-Bus's specification has it, or the usual one.
pub(crate) fn connect(timeout: Timeout) -> Result<RpcConn, Error> {
    let named = env::var("DBUS_SYSTEM_BUS_ADDRESS").ok();
    let path = named.as_deref().and_then(|address| address.strip_prefix("unix:path=")?.split([',', ';']).next());
    let address = match path {
        Some(path) => UnixAddr::new(path).map_err(Error::NixError)?,
        None => get_system_bus_path()?,
    };
    RpcConn::connect_to_path(address, timeout)
}
