use gogrid_panel_api::RequestError;
use gogrid_panel_client::ClientError;

/// The error in words for the page, which calls the worker the engine. A refusal keeps the worker's own words.
pub(super) fn for_page(error: ClientError) -> RequestError {
    let message = match error {
        ClientError::Refused(refusal) => return refusal,
        ClientError::NotRunning { .. } => "the engine is not running".to_owned(),
        ClientError::Denied { source, .. } | ClientError::Unreachable { source, .. } => {
            format!("the engine cannot be reached: {source}")
        }
        ClientError::Closed => "the engine has ended the connection".to_owned(),
        ClientError::Timeout(deadline) => format!("the engine did not answer within {} s", deadline.as_secs()),
        ClientError::TooLong(_) | ClientError::NotUnderstood => {
            "the engine's answer is not understood: it may be of another version".to_owned()
        }
    };
    RequestError::new(None, message)
}
