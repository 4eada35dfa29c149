//! A content provider that sells to the subscribers of a world.

#![allow(dead_code)]

use crate::world::{World, amount, eur, slug};
use tandem_domain::command::*;
use tandem_domain::content::*;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::{Amount, Currency};

pub const VNO: VnoId = VnoId::new(0);
pub const PROVIDER: ContentProviderId = ContentProviderId::new(0);
pub const CLIENT: ApiClientId = ApiClientId::new(0);
pub const PHONE: &str = "+491511";

/// Provider `kino` sells to aria's subscribers: 70 % to it, 5 % to the broker; 19 % tax.
pub struct Shop {
    pub world: World,
    pub alice: SubscriberId,
    requests: u32,
}

pub fn rules() -> VnoContent {
    VnoContent {
        providers: vec![AllowedProvider {
            provider: PROVIDER,
            categories: vec![],
            price_max: None,
        }],
        tax_basis_points: 1900,
        ..VnoContent::default()
    }
}

impl Shop {
    pub fn new(money: &str) -> Shop {
        let mut world = World::new();
        world.administer(Administer::CreateContentProvider {
            slug: slug("kino"),
            name: "Kino".into(),
            currency: Currency::EUR,
            share_basis_points: 0,
            service_identifiers: vec![],
        });
        world.administer(Administer::SetApiClient {
            provider: PROVIDER,
            slug: slug("kino-web"),
            keys: "{}".into(),
            scopes: vec![],
            requests_per_second_max: 0,
            withdrawn: false,
        });
        let alice = world.subscriber(0, PHONE, money);
        let mut shop = Shop { world, alice, requests: 0 };
        shop.agree(ProviderShare::Percent(7000), None);
        shop.rule(rules());
        shop
    }

    pub fn agree(&mut self, share: ProviderShare, guarantee: Option<&str>) {
        self.world.administer(Administer::SetAgreement {
            provider: PROVIDER,
            vno: VNO,
            share: Some(share),
            broker_basis_points: 500,
            guarantee: guarantee.map(amount),
        });
    }

    pub fn rule(&mut self, rules: VnoContent) {
        let change = VnoChange { content: Some(Box::new(rules)), ..VnoChange::default() };
        self.world.administer(Administer::ChangeVno(VNO, Box::new(change)));
    }

    pub fn request(&mut self, price: &str) -> PaymentRequest {
        self.requests += 1;
        PaymentRequest {
            client: CLIENT,
            subject: Subject::Number(
                Identity::parse(IdentityKind::Msisdn, PHONE).expect("a number"),
            ),
            correlator: Some(format!("c-{}", self.requests).into()),
            reference: format!("r-{}", self.requests).into(),
            price: Price {
                currency: Currency::EUR,
                amount: amount(price),
                is_tax_included: true,
                merchant_tax: None,
            },
            items: vec![],
            body: "{}".into(),
            description: "a film".into(),
            merchant: None,
            category: None,
            sink: None,
            reserve: None,
        }
    }

    pub fn ask(&mut self, command: ContentCommand) -> Result<Box<Payment>, ContentRefusal> {
        match self.world.command(Command::Content(Box::new(command))) {
            Response::Content(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn send(&mut self, request: PaymentRequest) -> Result<Box<Payment>, ContentRefusal> {
        self.ask(ContentCommand::Pay(Box::new(request)))
    }

    pub fn pay(&mut self, price: &str) -> Result<Box<Payment>, ContentRefusal> {
        let request = self.request(price);
        self.send(request)
    }

    pub fn prepare(&mut self, price: &str) -> Result<Box<Payment>, ContentRefusal> {
        let mut request = self.request(price);
        request.reserve = Some(NewCode {
            authorization: "auth".into(),
            code: "123456".into(),
            code_hash: [1; 32],
        });
        self.send(request)
    }

    pub fn subject() -> Subject {
        Subject::Number(Identity::parse(IdentityKind::Msisdn, PHONE).expect("a number"))
    }

    pub fn confirm(&mut self, payment: PaymentId) -> Result<Box<Payment>, ContentRefusal> {
        self.ask(ContentCommand::Confirm { client: CLIENT, subject: Shop::subject(), payment })
    }

    pub fn cancel(&mut self, payment: PaymentId) -> Result<Box<Payment>, ContentRefusal> {
        self.ask(ContentCommand::Cancel { client: CLIENT, subject: Shop::subject(), payment })
    }

    pub fn validate(
        &mut self,
        payment: PaymentId,
        code: u8,
    ) -> Result<Box<Payment>, ContentRefusal> {
        self.ask(ContentCommand::Validate {
            client: CLIENT,
            line: None,
            payment,
            authorization: "auth".into(),
            code_hash: [code; 32],
        })
    }

    pub fn refund(
        &mut self,
        payment: PaymentId,
        price: Option<&str>,
    ) -> Result<Box<Payment>, ContentRefusal> {
        self.requests += 1;
        self.ask(ContentCommand::Refund(Box::new(RefundRequest {
            client: CLIENT,
            line: None,
            payment,
            price: price.map(|text| Price {
                currency: Currency::EUR,
                amount: amount(text),
                is_tax_included: true,
                merchant_tax: None,
            }),
            items: vec![],
            body: "{}".into(),
            correlator: Some(format!("back-{}", self.requests).into()),
            reference: "back".into(),
            reason: None,
            merchant: None,
            sink: None,
        })))
    }

    pub fn item(
        &mut self,
        name: &str,
        price: &str,
        kind: ItemKind,
        service: Option<u32>,
    ) -> ContentItemId {
        match self.world.administer(Administer::PublishContentItem(Box::new(NewContentItem {
            provider: PROVIDER,
            slug: slug(name),
            name: name.into(),
            category: "video".into(),
            price: eur(price),
            is_tax_included: true,
            age_min: 0,
            kind,
            service_identifier: service,
        }))) {
            Receipt::ContentItem(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub fn line(&self) -> LineId {
        LineId::new(self.alice, 1)
    }

    pub fn owed(&self) -> Amount {
        self.world.ledger(LedgerAccount::ContentProviderPayable(PROVIDER))
    }

    pub fn subscription(&self) -> ContentSubscription {
        let line = self.world.state.line(self.line()).expect("a line");
        line.content.as_ref().expect("content").subscriptions[0].clone()
    }
}
