//! Proof on demand.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tandem_http_api::Problem;
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::Errors;

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditBody {
    pub clean: bool,
    /// The journal record up to which the books were checked.
    pub sequence: u64,
    pub accounts: u64,
    pub postings: u64,
    pub usage_records: u64,
    pub open_sessions: u64,
    /// The first hundred.
    pub findings: Vec<String>,
    pub findings_total: u64,
}

/// Check that every entry, balance, hold and record agrees
#[utoipa::path(get, path = "/v1/audit", responses((status = 200, body = AuditBody), Errors))]
pub async fn run(
    State(platform): State<Platform>,
    caller: Caller,
) -> Result<Json<AuditBody>, Problem> {
    caller.broker()?;
    let report = platform.audit().await.map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(Json(AuditBody {
        clean: report.is_clean(),
        sequence: report.sequence,
        accounts: report.accounts,
        postings: report.postings,
        usage_records: report.usage_records,
        open_sessions: report.open_sessions,
        findings: report.findings,
        findings_total: report.findings_total,
    }))
}
