//! The demo's content: Playhouse sells through the payment API, by subscription and by switches' events, and pays
//! for the traffic of its stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use tandem_domain::catalogue::{PriceListOwner, Scope};
use tandem_domain::command::{
    Administer, NewContentItem, NewLine, NewSubscriber, Receipt, VnoChange,
};
use tandem_domain::content::{
    AllowedProvider, ItemKind, ItemPeriod, ProviderShare, ShareTier, VnoContent,
};
use tandem_domain::event::Profile;
use tandem_domain::identifier::{
    AccountId, ContentProviderId, Identity, IdentityKind, LineId, SubscriberId, VnoId,
};
use tandem_domain::money::{Amount, Currency, Money};
use tandem_simulators::random::Random;
use tandem_simulators::shop::{Shop, payment};

use crate::world::{VNOS, World};

pub const PROVIDER: ContentProviderId = ContentProviderId::new(0);
pub const CLIENT: &str = "playhouse-web";
/// The Rating-Group of Playhouse's stream.
pub const STREAM: u32 = 20;
/// Subscribers of each VNO who take the daily game from the beginning.
const PLAYERS: u32 = 20;

fn amount(text: &str) -> Amount {
    text.parse().expect("amounts of the demo world are valid")
}

/// What Playhouse sells, on which terms, and what it sponsors. The first subscribers exist already.
pub fn build(world: &mut World<'_>) -> anyhow::Result<()> {
    agree(world)?;
    let item = |slug: &str, name: &str, price: &str, kind, service_identifier| {
        let order = Administer::PublishContentItem(Box::new(NewContentItem {
            provider: PROVIDER,
            slug: slug.parse()?,
            name: name.into(),
            category: "games".into(),
            price: Money::new(amount(price), Currency::EUR),
            is_tax_included: true,
            age_min: 0,
            kind,
            service_identifier,
        }));
        match world.administer(order)? {
            Receipt::ContentItem(id) => Ok(id),
            other => bail!("unexpected receipt {other:?}"),
        }
    };
    item("extra-life", "An extra life", "1.99", ItemKind::OneOff, Some(9001))?;
    let daily = ItemKind::Subscription { period: ItemPeriod::Daily, trial_days: 0 };
    let daily = item("daily-game", "A new game every day", "0.29", daily, None)?;
    for vno in 0..VNOS.len() as u16 {
        for number in 201..=200 + PLAYERS {
            let line = LineId::new(SubscriberId::new(VnoId::new(vno), number), 1);
            let proof = "demo: opted in at the beginning".into();
            world.administer(Administer::SubscribeToContent { line, item: daily, proof })?;
        }
        sponsor(world, VnoId::new(vno))?;
    }
    Ok(())
}

/// Agreements and rules: Playhouse gets 65 % of the first 500.00 a month and 70 % of what is above, the broker 4 %.
pub fn agree(world: &mut World<'_>) -> anyhow::Result<()> {
    for vno in (0..VNOS.len() as u16).map(VnoId::new) {
        world.administer(Administer::SetAgreement {
            provider: PROVIDER,
            vno,
            share: Some(ProviderShare::Tiers(vec![
                ShareTier { up_to: Some(amount("500.00")), basis_points: 6_500 },
                ShareTier { up_to: None, basis_points: 7_000 },
            ])),
            broker_basis_points: 400,
            guarantee: Some(amount("100.00")),
        })?;
        let rules = VnoContent {
            providers: vec![AllowedProvider {
                provider: PROVIDER,
                categories: Vec::new(),
                price_max: None,
            }],
            tax_basis_points: 1_900,
            reservation_seconds: 60,
            ..VnoContent::default()
        };
        let change = VnoChange { content: Some(Box::new(rules)), ..VnoChange::default() };
        world.administer(Administer::ChangeVno(vno, Box::new(change)))?;
    }
    Ok(())
}

/// Playhouse holds an account with the VNO, on which its stream's traffic is charged at half the usual price.
fn sponsor(world: &mut World<'_>, vno: VnoId) -> anyhow::Result<()> {
    let number = format!("+49159{:08}", vno.number());
    let identity = Identity::parse(IdentityKind::Msisdn, &number)?;
    let owner = world.administer(Administer::CreateSubscriber(Box::new(NewSubscriber {
        vno,
        profile: Profile { name: Some("Playhouse, sponsor".into()), ..Profile::default() },
        lines: vec![NewLine { identities: vec![identity], payer_rules: Vec::new() }],
        credit_limit: amount("10000.00"),
        offers: Vec::new(),
    })))?;
    let Receipt::Subscriber(owner) = owner else { bail!("unexpected receipt {owner:?}") };
    let slug = VNOS[vno.index()].0;
    let prices = world.install_csv(
        PriceListOwner::Vno(vno),
        &format!("{slug}-sponsored"),
        1_900,
        "service,destination,price,per,increment\ndata,Sponsored data,0.005,1MiB,1/1\n",
    )?;
    world.administer(Administer::SetSponsorship {
        provider: PROVIDER,
        vno,
        scope: Scope { rating_groups: vec![STREAM], ..Scope::default() },
        account: AccountId::new(owner, 1),
        prices,
    })?;
    Ok(())
}

/// Registers the shop's public key.
pub fn register(world: &World<'_>, shop: &Shop) -> anyhow::Result<()> {
    world.administer(Administer::SetApiClient {
        provider: PROVIDER,
        slug: CLIENT.parse()?,
        keys: shop.jwks().to_string().into(),
        scopes: Vec::new(),
        requests_per_second_max: 0,
        withdrawn: false,
    })?;
    Ok(())
}

/// What the shop saw.
#[derive(Default)]
pub struct Sales {
    pub sold: AtomicU64,
    pub refused: AtomicU64,
    pub refunded: AtomicU64,
    pub failed: AtomicU64,
}

const PAYMENTS: &str = "/carrier-billing/v0.5/payments";
const PRICES: [&str; 4] = ["0.49", "0.99", "1.99", "4.99"];
const PAUSE: Duration = Duration::from_millis(40);

pub struct Counter {
    shop: Shop,
    users: Vec<String>,
    random: Random,
    pub sales: Arc<Sales>,
    /// Payments that may still be given back.
    paid: Vec<String>,
}

impl Counter {
    /// A shop that knows where the broker listens.
    pub fn new(http: SocketAddr, users: Vec<String>, seed: u64) -> anyhow::Result<Counter> {
        let base = format!("http://{http}");
        Ok(Counter {
            shop: Shop::new(&base, &base, CLIENT, None)?,
            users,
            random: Random::new(seed),
            sales: Arc::default(),
            paid: Vec::new(),
        })
    }

    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Sells until told to stop: at once, in two steps, and now and then gives money back.
    pub async fn run(mut self, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
        let token = self.shop.token("").await?;
        let mut number = 0u64;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let who = self.random.below(self.users.len() as u64) as usize;
            let user = format!("+{}", self.users[who]);
            let step = match self.random.below(10) {
                0 => self.give_back(&token, number).await,
                1 | 2 => self.reserve(&token, &user, number).await,
                _ => self.sell(&token, &user, number).await,
            };
            if step.is_err() {
                self.sales.failed.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn body(&mut self, user: &str, number: u64) -> serde_json::Value {
        let price = PRICES[self.random.below(PRICES.len() as u64) as usize];
        payment(Some(user), price, &format!("order-{number}"))
    }

    fn note(&mut self, answer: &tandem_simulators::shop::Answer) -> Option<String> {
        let id = answer.body["paymentId"].as_str().filter(|_| answer.status == 201);
        if id.is_none() {
            self.sales.refused.fetch_add(1, Ordering::Relaxed);
        }
        id.map(str::to_owned)
    }

    async fn sell(&mut self, token: &str, user: &str, number: u64) -> std::io::Result<()> {
        let body = self.body(user, number);
        let answer = self.shop.ask(hyper::Method::POST, PAYMENTS, token, Some(&body)).await?;
        if let Some(id) = self.note(&answer) {
            self.sales.sold.fetch_add(1, Ordering::Relaxed);
            self.paid.push(id);
        }
        Ok(())
    }

    async fn reserve(&mut self, token: &str, user: &str, number: u64) -> std::io::Result<()> {
        let body = self.body(user, number);
        let path = format!("{PAYMENTS}/prepare");
        let answer = self.shop.ask(hyper::Method::POST, &path, token, Some(&body)).await?;
        let Some(id) = self.note(&answer) else { return Ok(()) };
        let step = if self.random.below(4) == 0 { "cancel" } else { "confirm" };
        let phone = json!({ "phoneNumber": user });
        let path = format!("{PAYMENTS}/{id}/{step}");
        let answer = self.shop.ask(hyper::Method::POST, &path, token, Some(&phone)).await?;
        if step == "confirm" && answer.status == 202 {
            self.sales.sold.fetch_add(1, Ordering::Relaxed);
            self.paid.push(id);
        }
        Ok(())
    }

    async fn give_back(&mut self, token: &str, number: u64) -> std::io::Result<()> {
        if self.paid.is_empty() {
            return Ok(());
        }
        let which = self.random.below(self.paid.len() as u64) as usize;
        let id = self.paid.swap_remove(which);
        let body = json!({ "type": "total", "amountTransaction": {
            "clientCorrelator": format!("back-{number}"), "referenceCode": "back", "refundAmount": {},
        }});
        let path = format!("/carrier-billing-refund/v0.3/payments/{id}/refunds");
        let answer = self.shop.ask(hyper::Method::POST, &path, token, Some(&body)).await?;
        let done = u64::from(answer.status == 201);
        self.sales.refunded.fetch_add(done, Ordering::Relaxed);
        Ok(())
    }
}
