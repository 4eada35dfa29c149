//! Service-Information (AVP 873, TS 32.299 section 7.2): what rating looks at of PS-, IMS- and SMS-Information.

use crate::avp::Avp;
use crate::code;

/// Borrowed from the request. What is malformed inside is as if it were not there: it is information, not an order.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceInformation<'a> {
    /// Called-Station-Id: the access point name.
    pub access_point: Option<&'a str>,
    /// 3GPP-SGSN-MCC-MNC: the serving network.
    pub serving_network: Option<&'a str>,
    pub rat_type: Option<u8>,
    pub charging_id: Option<&'a [u8]>,
    pub calling_party: Option<&'a str>,
    /// Called-Party-Address: the number after translation.
    pub called_party: Option<&'a str>,
    /// Requested-Party-Address: as it was dialled.
    pub requested_party: Option<&'a str>,
    /// 0 originating, 1 terminating, 2 forwarding.
    pub role_of_node: Option<u32>,
    pub is_emergency: bool,
    /// The recipient of a short message.
    pub recipient: Option<&'a str>,
    pub messages_sent: Option<u32>,
    pub has_ims: bool,
    pub has_sms: bool,
}

impl<'a> ServiceInformation<'a> {
    pub fn read(group: &Avp<'a>) -> ServiceInformation<'a> {
        let mut information = ServiceInformation::default();
        for avp in group.members().map_while(Result::ok) {
            match avp.code {
                code::PS_INFORMATION => information.read_ps(&avp),
                code::IMS_INFORMATION => information.read_ims(&avp),
                code::SMS_INFORMATION => information.read_sms(&avp),
                _ => {}
            }
        }
        information
    }

    fn read_ps(&mut self, group: &Avp<'a>) {
        for avp in group.members().map_while(Result::ok) {
            match avp.code {
                code::CALLED_STATION_ID => self.access_point = avp.text().ok(),
                code::TGPP_SGSN_MCC_MNC => self.serving_network = avp.text().ok(),
                code::TGPP_RAT_TYPE => self.rat_type = avp.data.first().copied(),
                code::TGPP_CHARGING_ID => self.charging_id = Some(avp.data),
                code::TGPP_USER_LOCATION_INFO => {}
                _ => {}
            }
        }
    }

    fn read_ims(&mut self, group: &Avp<'a>) {
        self.has_ims = true;
        for avp in group.members().map_while(Result::ok) {
            match avp.code {
                code::ROLE_OF_NODE => self.role_of_node = avp.u32().ok(),
                // Repeated as SIP and tel URI: the tel URI, where given, is the number.
                code::CALLING_PARTY_ADDRESS => prefer_tel(&mut self.calling_party, avp.text().ok()),
                code::CALLED_PARTY_ADDRESS => prefer_tel(&mut self.called_party, avp.text().ok()),
                code::REQUESTED_PARTY_ADDRESS => {
                    prefer_tel(&mut self.requested_party, avp.text().ok())
                }
                code::IMS_EMERGENCY_INDICATOR => self.is_emergency = avp.u32() == Ok(1),
                _ => {}
            }
        }
    }

    fn read_sms(&mut self, group: &Avp<'a>) {
        self.has_sms = true;
        for avp in group.members().map_while(Result::ok) {
            match avp.code {
                code::RECIPIENT_INFO => {
                    let address = avp.member(code::RECIPIENT_ADDRESS);
                    let data = address.and_then(|address| address.member(code::ADDRESS_DATA));
                    self.recipient = self.recipient.or(data.and_then(|data| data.text().ok()));
                }
                code::NUMBER_OF_MESSAGES_SENT => self.messages_sent = avp.u32().ok(),
                _ => {}
            }
        }
    }
}

fn prefer_tel<'a>(known: &mut Option<&'a str>, found: Option<&'a str>) {
    let is_tel = found.is_some_and(|text| text.starts_with("tel:"));
    if known.is_none() || is_tel {
        *known = found.or(*known);
    }
}
