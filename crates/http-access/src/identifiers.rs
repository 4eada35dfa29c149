//! Identifiers as the APIs show them. Numbers count within one VNO, so they tell nothing about another.

use tandem_domain::identifier::{
    AccountId, LineId, SessionId, SubscriberId, SubscriptionId, VnoId,
};
use tandem_http_api::Problem;

pub fn subscriber(id: SubscriberId) -> String {
    format!("sub-{}", id.number())
}

pub fn line(id: LineId) -> String {
    format!("line-{}-{}", id.subscriber().number(), id.number())
}

pub fn account(id: AccountId) -> String {
    format!("acct-{}-{}", id.subscriber().number(), id.number())
}

pub fn subscription(id: SubscriptionId) -> String {
    format!("subn-{}-{}", id.subscriber().number(), id.number())
}

pub fn session(id: SessionId) -> String {
    format!("ses-{}", id.number())
}

pub fn parse_subscriber(vno: VnoId, text: &str) -> Result<SubscriberId, Problem> {
    let number = text.strip_prefix("sub-").and_then(|number| number.parse().ok());
    number
        .map(|number| SubscriberId::new(vno, number))
        .ok_or_else(|| Problem::not_found("subscriber"))
}

pub fn parse_line(vno: VnoId, text: &str) -> Result<LineId, Problem> {
    let (subscriber, number) =
        part(vno, text, "line-").ok_or_else(|| Problem::not_found("line"))?;
    Ok(LineId::new(subscriber, number))
}

pub fn parse_account(vno: VnoId, text: &str) -> Result<AccountId, Problem> {
    let (subscriber, number) =
        part(vno, text, "acct-").ok_or_else(|| Problem::not_found("account"))?;
    Ok(AccountId::new(subscriber, number))
}

pub fn parse_subscription(vno: VnoId, text: &str) -> Result<SubscriptionId, Problem> {
    let (subscriber, number) =
        part(vno, text, "subn-").ok_or_else(|| Problem::not_found("subscription"))?;
    Ok(SubscriptionId::new(subscriber, number))
}

pub fn parse_session(vno: VnoId, text: &str) -> Result<SessionId, Problem> {
    let number: Option<u64> = text.strip_prefix("ses-").and_then(|number| number.parse().ok());
    let fits = number.filter(|number| *number < 1 << 44);
    fits.map(|number| SessionId::new(vno, number)).ok_or_else(|| Problem::not_found("session"))
}

fn part(vno: VnoId, text: &str, prefix: &str) -> Option<(SubscriberId, u8)> {
    let (subscriber, number) = text.strip_prefix(prefix)?.split_once('-')?;
    Some((SubscriberId::new(vno, subscriber.parse().ok()?), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_read_back_as_they_are_shown() {
        let vno = VnoId::new(3);
        let id = SubscriberId::new(vno, 1042);
        assert_eq!(parse_subscriber(vno, &subscriber(id)).ok(), Some(id));
        let of_account = AccountId::new(id, 2);
        assert_eq!(parse_account(vno, &account(of_account)).ok(), Some(of_account));
        assert_eq!(line(LineId::new(id, 7)), "line-1042-7");
        for bad in ["sub-", "sub-x", "1042", "sub-99999999999"] {
            assert!(parse_subscriber(vno, bad).is_err(), "{bad}");
        }
    }
}
