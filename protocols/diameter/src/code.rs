//! Command, application, vendor and AVP codes by name. AVPs with a vendor of their own carry it here.

pub const COMMAND_CAPABILITIES_EXCHANGE: u32 = 257;
pub const COMMAND_RE_AUTH: u32 = 258;
pub const COMMAND_CREDIT_CONTROL: u32 = 272;
pub const COMMAND_ABORT_SESSION: u32 = 274;
pub const COMMAND_DEVICE_WATCHDOG: u32 = 280;
pub const COMMAND_DISCONNECT_PEER: u32 = 282;

pub const APPLICATION_BASE: u32 = 0;
pub const APPLICATION_CREDIT_CONTROL: u32 = 4;
pub const APPLICATION_RELAY: u32 = 0xffff_ffff;

pub const VENDOR_3GPP: u32 = 10415;

/// An AVP's code and, unless it is the IETF's, its vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AvpCode {
    pub vendor: u32,
    pub code: u32,
}

const fn ietf(code: u32) -> AvpCode {
    AvpCode { vendor: 0, code }
}

const fn tgpp(code: u32) -> AvpCode {
    AvpCode { vendor: VENDOR_3GPP, code }
}

macro_rules! avp_codes {
    ($($constructor:ident { $($name:ident = $code:expr;)* })*) => {
        $($(pub const $name: AvpCode = $constructor($code);)*)*
    };
}

avp_codes! {
    ietf {
        USER_NAME = 1;
        FILTER_ID = 11;
        CALLED_STATION_ID = 30;
        PROXY_STATE = 33;
        EVENT_TIMESTAMP = 55;
        HOST_IP_ADDRESS = 257;
        AUTH_APPLICATION_ID = 258;
        ACCT_APPLICATION_ID = 259;
        VENDOR_SPECIFIC_APPLICATION_ID = 260;
        SESSION_ID = 263;
        ORIGIN_HOST = 264;
        SUPPORTED_VENDOR_ID = 265;
        VENDOR_ID = 266;
        FIRMWARE_REVISION = 267;
        RESULT_CODE = 268;
        PRODUCT_NAME = 269;
        DISCONNECT_CAUSE = 273;
        ORIGIN_STATE_ID = 278;
        FAILED_AVP = 279;
        PROXY_HOST = 280;
        ERROR_MESSAGE = 281;
        ROUTE_RECORD = 282;
        DESTINATION_REALM = 283;
        PROXY_INFO = 284;
        RE_AUTH_REQUEST_TYPE = 285;
        DESTINATION_HOST = 293;
        ERROR_REPORTING_HOST = 294;
        TERMINATION_CAUSE = 295;
        ORIGIN_REALM = 296;
        INBAND_SECURITY_ID = 299;
        CC_INPUT_OCTETS = 412;
        CC_MONEY = 413;
        CC_OUTPUT_OCTETS = 414;
        CC_REQUEST_NUMBER = 415;
        CC_REQUEST_TYPE = 416;
        CC_SERVICE_SPECIFIC_UNITS = 417;
        CC_SESSION_FAILOVER = 418;
        CC_TIME = 420;
        CC_TOTAL_OCTETS = 421;
        CHECK_BALANCE_RESULT = 422;
        COST_INFORMATION = 423;
        CURRENCY_CODE = 425;
        CREDIT_CONTROL_FAILURE_HANDLING = 427;
        DIRECT_DEBITING_FAILURE_HANDLING = 428;
        EXPONENT = 429;
        FINAL_UNIT_INDICATION = 430;
        GRANTED_SERVICE_UNIT = 431;
        RATING_GROUP = 432;
        REDIRECT_ADDRESS_TYPE = 433;
        REDIRECT_SERVER = 434;
        REDIRECT_SERVER_ADDRESS = 435;
        REQUESTED_ACTION = 436;
        REQUESTED_SERVICE_UNIT = 437;
        RESTRICTION_FILTER_RULE = 438;
        SERVICE_IDENTIFIER = 439;
        SUBSCRIPTION_ID = 443;
        SUBSCRIPTION_ID_DATA = 444;
        UNIT_VALUE = 445;
        USED_SERVICE_UNIT = 446;
        VALUE_DIGITS = 447;
        VALIDITY_TIME = 448;
        FINAL_UNIT_ACTION = 449;
        SUBSCRIPTION_ID_TYPE = 450;
        TARIFF_TIME_CHANGE = 451;
        TARIFF_CHANGE_USAGE = 452;
        MULTIPLE_SERVICES_INDICATOR = 455;
        MULTIPLE_SERVICES_CREDIT_CONTROL = 456;
        SERVICE_CONTEXT_ID = 461;
        SUBSCRIPTION_ID_EXTENSION = 659;
        SUBSCRIPTION_ID_E164 = 660;
        SUBSCRIPTION_ID_IMSI = 661;
        SUBSCRIPTION_ID_SIP_URI = 662;
        SUBSCRIPTION_ID_NAI = 663;
        SUBSCRIPTION_ID_PRIVATE = 664;
    }
    tgpp {
        TGPP_IMSI_MCC_MNC = 8;
        TGPP_SGSN_MCC_MNC = 18;
        TGPP_RAT_TYPE = 21;
        TGPP_USER_LOCATION_INFO = 22;
        ROLE_OF_NODE = 829;
        CALLING_PARTY_ADDRESS = 831;
        CALLED_PARTY_ADDRESS = 832;
        VOLUME_QUOTA_THRESHOLD = 869;
        TIME_QUOTA_THRESHOLD = 868;
        QUOTA_HOLDING_TIME = 871;
        REPORTING_REASON = 872;
        SERVICE_INFORMATION = 873;
        PS_INFORMATION = 874;
        IMS_INFORMATION = 876;
        ADDRESS_DATA = 897;
        ADDRESS_TYPE = 899;
        RECIPIENT_ADDRESS = 1201;
        UNIT_QUOTA_THRESHOLD = 1226;
        REQUESTED_PARTY_ADDRESS = 1251;
        SMS_INFORMATION = 2000;
        NUMBER_OF_MESSAGES_SENT = 2019;
        REMAINING_BALANCE = 2021;
        REFUND_INFORMATION = 2022;
        RECIPIENT_INFO = 2026;
        IMS_EMERGENCY_INDICATOR = 2322;
        VCS_INFORMATION = 3410;
        NODE_FUNCTIONALITY = 862;
        IMS_CHARGING_IDENTIFIER = 841;
        TGPP_CHARGING_ID = 2;
    }
}
