//! Several accounts that pay for one session: fees, minimum and cap hold once for all of them together.

mod world;

use tandem_domain::command::*;
use tandem_domain::identifier::*;
use tandem_domain::money::Amount;
use tandem_domain::rating::RateSpec;
use tandem_domain::service::Service;
use tandem_domain::subscriber::Pays;
use world::{World, amount, untaxed, voice_rate};

/// Alice's calls are paid by her employer while its money lasts, then by herself.
fn shared(company_money: &str, price: impl FnOnce(&mut RateSpec)) -> (World, [SubscriberId; 2]) {
    let mut world = World::new();
    let employer = world.subscriber(0, "+491500", company_money);
    let company = AccountId::new(employer, 1);
    world.administer(Administer::ChangeAccount {
        id: company,
        credit_limit: None,
        shared: Some(true),
    });
    let alice = world.subscriber(0, "+491511", "10.00");
    let rule =
        |account| NewPayerRule { account, scope: Default::default(), pays: Pays::Everything };
    let rules = vec![rule(company), rule(AccountId::new(alice, 1))];
    let change = LineChange { payer_rules: Some(rules), ..LineChange::default() };
    world.administer(Administer::ChangeLine(LineId::new(alice, 1), Box::new(change)));
    let mut row = voice_rate("0.60", 1, 1);
    price(&mut row);
    world.retail(untaxed("fees"), vec![row]);
    (world, [employer, alice])
}

fn call(world: &mut World, reports: &[u64]) {
    let mut phone = world.request("+491511", Service::Voice);
    world.session(phone.open()).expect("opened");
    for seconds in reports {
        world.session(phone.report(*seconds)).expect("reported");
    }
    world.session(phone.close(0)).expect("closed");
    world.assert_balanced();
}

fn paid(world: &World, [employer, alice]: [SubscriberId; 2], company: &str) -> (Amount, Amount) {
    let of = |id, had: &str| amount(had).saturating_sub(world.balance(id));
    (of(employer, company), of(alice, "10.00"))
}

#[test]
fn the_set_up_fee_is_taken_once_however_many_pay() {
    for reports in [&[100][..], &[20, 30, 50], &[1; 100]] {
        let (mut world, both) = shared("0.50", |row| row.price.setup_fee = amount("0.20"));
        call(&mut world, reports);
        // 100 seconds at 0.01 and 0.20 once: the employer's 0.50 are 0.20 and 30 seconds.
        assert_eq!(paid(&world, both, "0.50"), (amount("0.50"), amount("0.70")), "{reports:?}");
    }
}

#[test]
fn the_cap_is_one_for_all_who_pay() {
    let (mut world, both) = shared("0.50", |row| row.price.cap = Some(amount("0.80")));
    call(&mut world, &[40, 40, 40, 40]);
    assert_eq!(paid(&world, both, "0.50"), (amount("0.50"), amount("0.30")));
}
