//! Header names: known ones as values, in full or compact form, without regard to case (RFC 3261 section 7.3).

macro_rules! names {
    ($($name:ident = $text:literal $(, $compact:literal)?;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Name {
            $($name,)*
            /// Kept by its raw name.
            Other,
        }

        impl Name {
            /// The full name as it is written; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Name::$name => $text,)*
                    Name::Other => "",
                }
            }

            const KNOWN: &'static [(Name, &'static str)] =
                &[$((Name::$name, $text),)* $($((Name::$name, $compact),)?)*];
        }
    };
}

names! {
    Via = "Via", "v";
    From = "From", "f";
    To = "To", "t";
    CallId = "Call-ID", "i";
    CSeq = "CSeq";
    MaxForwards = "Max-Forwards";
    Contact = "Contact", "m";
    ContentLength = "Content-Length", "l";
    ContentType = "Content-Type", "c";
    ContentEncoding = "Content-Encoding", "e";
    ContentDisposition = "Content-Disposition";
    Supported = "Supported", "k";
    Require = "Require";
    ProxyRequire = "Proxy-Require";
    Unsupported = "Unsupported";
    Allow = "Allow";
    AllowEvents = "Allow-Events", "u";
    Accept = "Accept";
    AcceptEncoding = "Accept-Encoding";
    AcceptLanguage = "Accept-Language";
    Route = "Route";
    RecordRoute = "Record-Route";
    Path = "Path";
    ServiceRoute = "Service-Route";
    Authorization = "Authorization";
    ProxyAuthorization = "Proxy-Authorization";
    WwwAuthenticate = "WWW-Authenticate";
    ProxyAuthenticate = "Proxy-Authenticate";
    AuthenticationInfo = "Authentication-Info";
    Expires = "Expires";
    MinExpires = "Min-Expires";
    SessionExpires = "Session-Expires", "x";
    MinSe = "Min-SE";
    RSeq = "RSeq";
    RAck = "RAck";
    Reason = "Reason";
    RetryAfter = "Retry-After";
    Warning = "Warning";
    Subject = "Subject", "s";
    UserAgent = "User-Agent";
    Server = "Server";
    Date = "Date";
    Timestamp = "Timestamp";
    Privacy = "Privacy";
    PAssertedIdentity = "P-Asserted-Identity";
    PPreferredIdentity = "P-Preferred-Identity";
    PChargingVector = "P-Charging-Vector";
    PChargingFunctionAddresses = "P-Charging-Function-Addresses";
    PAccessNetworkInfo = "P-Access-Network-Info";
    Diversion = "Diversion";
    HistoryInfo = "History-Info";
    Identity = "Identity", "y";
    UserToUser = "User-to-User";
    Geolocation = "Geolocation";
    ReferTo = "Refer-To", "r";
    ReferredBy = "Referred-By", "b";
    Replaces = "Replaces";
    Event = "Event", "o";
    SubscriptionState = "Subscription-State";
    InfoPackage = "Info-Package";
    RecvInfo = "Recv-Info";
    MimeVersion = "MIME-Version";
    AlertInfo = "Alert-Info";
    CallInfo = "Call-Info";
    Organization = "Organization";
    Priority = "Priority";
    InReplyTo = "In-Reply-To";
    ReplyTo = "Reply-To";
    ErrorInfo = "Error-Info";
}

impl Name {
    pub fn parse(raw: &[u8]) -> Name {
        let candidates = Name::KNOWN.iter().filter(|(_, text)| text.len() == raw.len());
        let mut matching = candidates.filter(|(_, text)| {
            // The first letter rules out nearly all.
            text.as_bytes().first().map(u8::to_ascii_lowercase)
                == raw.first().map(u8::to_ascii_lowercase)
                && text.as_bytes().eq_ignore_ascii_case(raw)
        });
        matching.next().map_or(Name::Other, |(name, _)| *name)
    }
}
