//! Number portability: which network serves a number that its prefix does not tell.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Serialize;
use tandem_domain::access::Role;
use tandem_domain::command::{Administer, Administration};
use tandem_domain::digits::Digits;
use tandem_http_access::representation::parse;
use tandem_http_access::{Caller, Errors, submit, unavailable};
use tandem_http_api::Problem;
use tandem_platform::Platform;
use utoipa::ToSchema;

/// Numbers of one order to the platform: other work goes on between them.
const CHUNK: usize = 1000;
const ERRORS_MAX: usize = 100;

#[derive(Debug, Serialize, ToSchema)]
pub struct PortedBody {
    pub numbers: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PortedNumberBody {
    pub number: String,
    /// The prefix by which calls to it are priced and routed; absent: its own.
    pub network: Option<String>,
}

/// Tell which networks serve ported numbers
///
/// CSV with the header `number,network`: E.164 digits, and a prefix of the network that serves the number now; without one
/// it is back at its own. Other numbers stay as they are. A bad row is named, and nothing is taken over.
#[utoipa::path(put, path = "/v1/ported-numbers", request_body(content = String, content_type = "text/csv"), responses((status = 200, body = PortedBody), Errors))]
pub async fn put(
    State(platform): State<Platform>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<PortedBody>, Problem> {
    caller.broker()?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::invalid("expected UTF-8"))?;
    let numbers = read(text)?;
    for chunk in numbers.chunks(CHUNK) {
        let order = Administer::PortNumbers(chunk.to_vec());
        submit(&platform, Administration { role: Role::Broker, idempotency: None, order }).await?;
    }
    Ok(Json(PortedBody { numbers: numbers.len() }))
}

fn read(text: &str) -> Result<Vec<(Digits, Option<Digits>)>, Problem> {
    let mut lines = text.lines().enumerate();
    let header = lines.next().map(|(_, line)| line.trim());
    if header != Some("number,network") {
        return Err(Problem::invalid("line 1: expected the header number,network"));
    }
    let (mut numbers, mut errors) = (Vec::new(), Vec::new());
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        match row(line) {
            Ok(row) => numbers.push(row),
            Err((column, expected)) if errors.len() < ERRORS_MAX => errors.push(
                serde_json::json!({ "line": index + 1, "column": column, "expected": expected }),
            ),
            Err(_) => {}
        }
    }
    if errors.is_empty() {
        return Ok(numbers);
    }
    let detail = "rows are wrong; nothing was taken over";
    Err(Problem::invalid(detail).with_errors(serde_json::Value::Array(errors)))
}

type Row = (Digits, Option<Digits>);

fn row(line: &str) -> Result<Row, (&'static str, &'static str)> {
    let (number, network) = line.split_once(',').ok_or(("network", "two columns"))?;
    let number: Digits =
        number.trim().parse().map_err(|_| ("number", "E.164 digits such as +4915112345678"))?;
    number.to_key().filter(|_| number.len() >= 3).ok_or(("number", "3 to 15 digits"))?;
    let network = network.trim();
    let network = (!network.is_empty()).then(|| network.parse()).transpose();
    Ok((number, network.map_err(|_| ("network", "a prefix of digits, or nothing"))?))
}

/// Which network serves a number
#[utoipa::path(get, path = "/v1/ported-numbers/{number}", params(("number" = String, Path)), responses((status = 200, body = PortedNumberBody), Errors))]
pub async fn look_up(
    State(platform): State<Platform>,
    caller: Caller,
    Path(number): Path<String>,
) -> Result<Json<PortedNumberBody>, Problem> {
    caller.broker()?;
    let digits: Digits = parse("number", &number)?;
    let network = platform.read(move |state, _| state.carried_to(digits)).await;
    let network = network.map_err(unavailable)?;
    let network = (network != digits).then(|| network.to_string());
    Ok(Json(PortedNumberBody { number: digits.to_string(), network }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_row_is_named_and_nothing_is_read() {
        let good = read("number,network\n+4917112345678,49160\n4917187654321,\n").expect("read");
        assert_eq!(good.len(), 2);
        assert_eq!(good[1].1, None);
        for bad in [
            "",
            "numbers\n",
            "number,network\n12\n",
            "number,network\nx,49\n",
            "number,network\n12,49\n",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
