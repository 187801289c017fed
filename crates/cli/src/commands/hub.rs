//! `gogrid hub`: the token of a hub, in the system's key store.

use crate::args::{HubArgs, HubCommand};
use anyhow::{Context, Result};
use gogrid_hub::{Hub, Token};
use gogrid_key_store::{Entry, Error, entry};

/// The name under which the tokens are kept, each by its hub's address.
const SERVICE: &str = "org.gogrid.hub";
/// The variable that other programs for this hub use, too.
const VARIABLE: &str = "HF_TOKEN";

pub(crate) async fn run(command: HubCommand) -> Result<()> {
    tokio::task::spawn_blocking(move || match command {
        HubCommand::Login(HubArgs { hub }) => login(&hub),
        HubCommand::Logout(HubArgs { hub }) => logout(&hub),
    })
    .await?
}

fn login(hub: &str) -> Result<()> {
    Hub::new(hub, None)?;
    let entry = of(hub).with_context(|| format!("there is no key store here; set {VARIABLE} instead"))?;
    let text = rpassword::prompt_password(format!("token of {hub}: "))?;
    Token::typed(&text)?;
    entry.set_password(text.trim()).context("the key store does not take the token")?;
    println!("kept in the key store");
    Ok(())
}

fn logout(hub: &str) -> Result<()> {
    match of(hub).context("there is no key store here")?.delete_credential() {
        Ok(()) => println!("removed from the key store"),
        Err(Error::NoEntry) => println!("there was none"),
        Err(error) => return Err(error).context("the key store does not remove the token"),
    }
    Ok(())
}

/// The token for this hub: from the environment, else from the key store; `None` where neither has one.
///
/// # Errors
/// When the token that is there is none.
pub(crate) async fn token(hub: &str) -> Result<Option<Token>> {
    if let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) {
        let token = Token::typed(&text.to_string_lossy());
        return token.map(Some).with_context(|| format!("{VARIABLE} in the environment"));
    }
    let hub = hub.to_owned();
    let found = tokio::task::spawn_blocking(move || of(&hub).and_then(|entry| entry.get_password())).await?;
    match found {
        Ok(text) => Token::typed(&text).map(Some).context("the token in the key store"),
        Err(error) => {
            // A server without a key store fetches open models all the same.
            tracing::debug!("no token: {error}");
            Ok(None)
        }
    }
}

fn of(hub: &str) -> Result<Entry, Error> {
    entry(SERVICE, hub.trim_end_matches('/'))
}
