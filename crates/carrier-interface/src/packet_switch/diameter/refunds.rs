//! Refunds that name their debit. Memory keeps no debits that are over; the books have them all.

use tandem_domain::charging::EventRequest;
use tandem_domain::command::{Command, Response};
use tandem_platform::{Platform, ReplySink, Unavailable};

use super::connection::Connection;

impl Connection {
    /// It goes to the platform once the books have told of the debit. Returns the number it is answered under.
    pub(super) fn enqueue_refund(&mut self, event: Box<EventRequest>) -> u64 {
        self.next_number += 1;
        let number = self.next_number;
        let (platform, inbox) = (self.common.platform.clone(), self.inbox.clone());
        tokio::spawn(async move {
            inbox.deliver(vec![(number, submit(&platform, event).await)], Vec::new());
        });
        number
    }
}

async fn submit(
    platform: &Platform,
    mut event: Box<EventRequest>,
) -> Result<Response, Unavailable> {
    if let Some(debit) = &mut event.debit {
        debit.read_at = platform.now();
        debit.record = platform.usage_record(debit.session).await?.map(Box::new);
    }
    platform.submit(Command::Event(event)).await
}
