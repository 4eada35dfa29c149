//! Numbers as they are written, and what they mean (RFC 3966, RFC 4694).

use tandem_domain::calls::Trunk;
use tandem_domain::digits::Digits;
use tandem_domain::numbering::Dialled;

fn trunk() -> Trunk {
    Trunk::to("192.0.2.1:5060", "49")
}

fn dialled(text: &str) -> Option<Dialled> {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    trunk().dialled(name, parameters)
}

#[test]
fn a_number_means_the_same_however_it_is_written() {
    let written = [
        "+4930901820",
        "+49 (30) 90-18.20",
        "004930901820",
        "030901820",
        "4930901820",
        "030901820;phone-context=+49",
        "901820;phone-context=+49-30",
        "030901820;PHONE-CONTEXT=example.com",
    ];
    for text in written {
        let number = dialled(text).expect(text).number;
        assert_eq!(number.to_string(), "4930901820", "{text}");
    }
    let abroad = dialled("0612345678;phone-context=+31").expect("a number");
    assert_eq!(abroad.number.to_string(), "31612345678");
    assert_eq!(abroad.written.expect("as dialled").to_string(), "0612345678");
    assert_eq!(dialled("+4930901820").expect("a number").written, None);
}

#[test]
fn services_stay_as_they_are_and_what_is_no_number_is_none() {
    for text in ["112", "911;phone-context=+1", "*100#", "#31#0301234"] {
        let plain = text.split(';').next().expect("a number");
        let number = dialled(text).expect(text).number;
        assert_eq!(number, Digits::dialled(plain).expect(plain), "{text}");
        assert_eq!(number.is_number(), !plain.contains('#'), "{text}");
    }
    for text in ["", "+", "alice", "+49301234567890123", "00493012345678901234", "+*31", "*1a"] {
        assert_eq!(dialled(text), None, "{text}");
    }
}

#[test]
fn a_routing_number_is_believed_of_who_is_trusted() {
    let routing = |text: &str| dialled(text).expect(text).routing.map(|digits| digits.to_string());
    assert_eq!(routing("+4930901820"), None);
    assert_eq!(routing("+4930901820;npdi;rn=+49-4100").as_deref(), Some("494100"));
    assert_eq!(routing("+4930901820;rn=4100;rn-context=+49").as_deref(), Some("494100"));
    assert_eq!(routing("+4930901820;npdi").as_deref(), Some("4930901820"), "it never was ported");
    let stranger = Trunk { is_trusted: false, ..trunk() };
    assert_eq!(stranger.dialled("+4930901820", "rn=+494100").expect("a number").routing, None);
}
