//! Where clients want to be told. Addresses inside the house are not for them to reach.

use axum::http::{StatusCode, Uri};
use serde_json::Value;
use tandem_domain::content::Sink;
use tandem_domain::time::Timestamp;
use tandem_http_client::is_inside;

use crate::error::Error;

const URL_MAX: usize = 2048;
const TOKEN_MAX: usize = 8192;

/// `sink` and `sinkCredential` of a request body.
pub(crate) fn read(
    sink: Option<&Value>,
    credential: Option<&Value>,
    allow_private: bool,
) -> Result<Option<Box<Sink>>, Error> {
    let credential = credential.filter(|value| !value.is_null()).map(token).transpose()?;
    let Some(sink) = sink.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let url = sink.as_str().ok_or_else(|| Error::invalid("sink: expected a URI"))?;
    let invalid =
        |why: &str| Error::new(StatusCode::BAD_REQUEST, "INVALID_SINK", format!("sink: {why}"));
    let uri: Uri = url.parse().map_err(|_| invalid("not a URI"))?;
    if uri.scheme_str() != Some("https") || url.len() > URL_MAX {
        return Err(invalid("expected an https URI of at most 2048 octets"));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| invalid("no host"))?;
    if is_inside(host) && !allow_private {
        return Err(invalid("the address is not public"));
    }
    let (token, token_expires) =
        credential.map_or((None, None), |(token, expires)| (Some(token), Some(expires)));
    Ok(Some(Box::new(Sink { url: url.into(), token, token_expires })))
}

fn token(credential: &Value) -> Result<(Box<str>, Timestamp), Error> {
    let text = |name: &str| credential.get(name).and_then(Value::as_str);
    let missing = |name: &str| Error::invalid(format!("sinkCredential.{name}: missing"));
    match text("credentialType").ok_or_else(|| missing("credentialType"))? {
        "ACCESSTOKEN" => {}
        "PLAIN" | "REFRESHTOKEN" => {
            let message = "only ACCESSTOKEN is supported";
            return Err(Error::new(StatusCode::BAD_REQUEST, "INVALID_CREDENTIAL", message));
        }
        _ => return Err(Error::invalid("sinkCredential.credentialType: unknown")),
    }
    if text("accessTokenType").ok_or_else(|| missing("accessTokenType"))? != "bearer" {
        let message = "only bearer tokens are supported";
        return Err(Error::new(StatusCode::BAD_REQUEST, "INVALID_TOKEN", message));
    }
    let token = text("accessToken").ok_or_else(|| missing("accessToken"))?;
    let plain = token.bytes().all(|octet| octet.is_ascii_graphic());
    if token.is_empty() || token.len() > TOKEN_MAX || !plain {
        return Err(Error::invalid("sinkCredential.accessToken: expected printable characters"));
    }
    let expires = text("accessTokenExpiresUtc").ok_or_else(|| missing("accessTokenExpiresUtc"))?;
    let expires = expires
        .parse()
        .map_err(|_| Error::invalid("sinkCredential.accessTokenExpiresUtc: expected RFC 3339"))?;
    Ok((token.into(), expires))
}
