//! One data session, driven over Diameter.

use diameter_protocol::credit_control::{
    CreditControlResult, RequestGroup, RequestHead, RequestType, SubscriptionId,
    SubscriptionIdType, Units,
};
use diameter_protocol::writer::Identity;
use tandem_simulators::gateway::Gateway;

pub const MIB: u64 = 1 << 20;

#[derive(Clone)]
pub struct DataSession {
    pub id: String,
    pub msisdn: String,
    pub number: u32,
    /// MCC and MNC.
    pub serving_network: Option<&'static str>,
}

pub fn octets(octets: u64) -> Units {
    Units { total_octets: Some(octets), ..Units::default() }
}

impl DataSession {
    pub fn new(id: &str, msisdn: &str) -> DataSession {
        DataSession {
            id: id.into(),
            msisdn: msisdn.into(),
            number: 0,
            serving_network: Some("26201"),
        }
    }

    /// Sends the next request of the session; None when no answer came.
    pub async fn send(
        &mut self,
        gateway: &Gateway,
        kind: RequestType,
        used: Option<u64>,
        wants: bool,
    ) -> Option<CreditControlResult> {
        let answer = self.repeat(gateway, kind, used, wants).await;
        self.number += 1;
        answer
    }

    /// Sends a request with the current number, as a repeat would.
    pub async fn repeat(
        &self,
        gateway: &Gateway,
        kind: RequestType,
        used: Option<u64>,
        wants: bool,
    ) -> Option<CreditControlResult> {
        let ids = [SubscriptionId { kind: SubscriptionIdType::E164, data: &self.msisdn }];
        let group = RequestGroup {
            rating_group: Some(10),
            requested: wants.then(Units::default),
            used: used.map(octets),
            reporting_reason: used.map(|_| if wants { 0 } else { 2 }),
            ..RequestGroup::default()
        };
        let head = RequestHead {
            request_type: kind,
            number: self.number,
            groups: &[group],
            access_point: Some("internet"),
            serving_network: self.serving_network,
            ..DataSession::head(gateway, &self.id, &ids)
        };
        gateway.ask(&head).await.ok()
    }

    /// The first request of a data session that names no group.
    pub fn head<'a>(
        gateway: &'a Gateway,
        id: &'a str,
        ids: &'a [SubscriptionId<'a>],
    ) -> RequestHead<'a> {
        RequestHead {
            session_id: id,
            origin: Identity { host: gateway.host(), realm: gateway.realm() },
            destination_realm: "tandem.example",
            destination_host: None,
            service_context: "32251@3gpp.org",
            request_type: RequestType::Initial,
            number: 0,
            hop_by_hop: 0,
            end_to_end: 0,
            is_retransmission: false,
            origin_state_id: None,
            subscription_ids: ids,
            requested_action: None,
            event_timestamp: None,
            requested: None,
            service_identifier: None,
            groups: &[],
            access_point: None,
            serving_network: None,
            called_party: None,
            calling_party: None,
            recipient: None,
        }
    }

    pub async fn open(&mut self, gateway: &Gateway) -> CreditControlResult {
        self.send(gateway, RequestType::Initial, None, true).await.expect("an answer")
    }

    pub async fn report(&mut self, gateway: &Gateway, used: u64) -> CreditControlResult {
        self.send(gateway, RequestType::Update, Some(used), true).await.expect("an answer")
    }

    pub async fn close(&mut self, gateway: &Gateway, used: u64) -> CreditControlResult {
        self.send(gateway, RequestType::Termination, Some(used), false).await.expect("an answer")
    }
}

/// Octets granted to the only rating group.
pub fn granted(answer: &CreditControlResult) -> u64 {
    answer
        .groups
        .first()
        .and_then(|group| group.granted)
        .and_then(|units| units.octets())
        .unwrap_or(0)
}
