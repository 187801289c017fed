//! The client of the coordinator's API, with what this program says about models.

pub(crate) use gogrid_api_client::{ApiClient, ApiClientError, Message, ModelInfo, Question, Summary};

use anyhow::{Result, bail};

/// A client of the API at `url`.
///
/// # Errors
/// When the URL is invalid or asks for TLS.
pub(crate) fn connect(url: &str) -> Result<ApiClient> {
    gogrid_link::install_crypto();
    Ok(ApiClient::plain(url)?)
}

/// The model of that name, or the first that is ready.
///
/// # Errors
/// When the coordinator cannot be reached, does not know the model, or has none that is ready.
pub(crate) async fn choose_model(client: &ApiClient, wanted: Option<&str>) -> Result<String> {
    let (models, url) = (client.models().await?, client.url());
    if models.is_empty() {
        bail!("the coordinator at {url} has no models; `gogrid model add` gives it one");
    }
    let found = match wanted {
        Some(name) => models.iter().find(|model| model.id == name),
        None => models.iter().find(|model| model.ready),
    };
    match (found, wanted) {
        (Some(model), _) => Ok(model.id.clone()),
        (None, Some(name)) => {
            bail!("the coordinator at {url} does not know the model '{name}'; it has {}", names(&models))
        }
        (None, None) => bail!("the coordinator at {url} has no model that is ready; it has {}", names(&models)),
    }
}

/// The models' names, for people.
pub(crate) fn names(models: &[ModelInfo]) -> String {
    let name = |model: &ModelInfo| match model.ready {
        true => model.id.clone(),
        false => format!("{} (not ready)", model.id),
    };
    models.iter().map(name).collect::<Vec<_>>().join(", ")
}
