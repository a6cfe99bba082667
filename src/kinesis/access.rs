//! Who may call: the access keys whose signatures are verified, and what each of them may do.
//!
//! [`Keys`] is what was configured, shared by all workers. Each worker makes an [`Access`] of it, which remembers the signing
//! keys it derived.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use hmac::Hmac;
use sha2::Sha256;

use super::arn::Arn;
use super::error::{Code, Error};
use super::sigv4;

/// A secret access key. Shows nothing of itself.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Wraps the secret.
    #[must_use]
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, to derive signing keys from.
    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One access key: a user, as AWS would call it.
#[derive(Clone, Debug)]
pub struct Key {
    /// The user's name, as it appears in refusals.
    pub name: String,
    /// What requests name the key by.
    pub access_key_id: String,
    /// What they are signed with.
    pub secret: Secret,
    /// What it may do; `None` for everything.
    pub allow: Option<Vec<Rule>>,
}

/// One permission: these actions on these streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Patterns of names of operations, without `kinesis:`. `*` stands for any characters, `?` for one.
    pub actions: Vec<String>,
    /// Patterns of names of streams.
    pub streams: Vec<String>,
}

/// All access keys of a node. No two have the same id.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

/// Two keys have this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateId(pub String);

impl Keys {
    /// Takes the keys, if no two have the same id.
    pub fn new(keys: Vec<Key>) -> Result<Self, DuplicateId> {
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|other| other.access_key_id == key.access_key_id) {
                return Err(DuplicateId(key.access_key_id.clone()));
            }
        }
        Ok(Self(keys))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, so that nobody gets in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys, in the order they were given in.
    #[must_use]
    pub fn as_slice(&self) -> &[Key] {
        &self.0
    }
}

/// What a worker checks requests with.
#[derive(Debug)]
pub enum Access {
    /// No keys are configured: signatures are not verified, and everybody may do everything.
    Open,
    /// Requests are signed with one of these keys.
    Keys(Keyring),
}

impl Access {
    /// Access by these keys, open if there is no list of them at all.
    #[must_use]
    pub fn new(keys: Option<&Keys>) -> Self {
        keys.map_or(Self::Open, |keys| Self::Keys(Keyring::new(keys)))
    }
}

/// Who sent a request: the key whose signature was verified.
#[derive(Clone, Debug)]
pub struct Principal(Rc<Key>);

impl Principal {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the key may carry out `operation` on the stream of this name. What concerns no one stream, as listing all of
    /// them, takes a rule for the streams `*`.
    #[must_use]
    pub fn may(&self, operation: &str, stream: Option<&str>) -> bool {
        let Some(rules) = &self.0.allow else { return true };
        rules.iter().any(|rule| {
            let names_action = rule.actions.iter().any(|pattern| matches(pattern, operation));
            let names_stream = rule.streams.iter().any(|pattern| match stream {
                Some(stream) => matches(pattern, stream),
                None => pattern == "*",
            });
            names_action && names_stream
        })
    }

    /// Refuses, in the words of AWS, what the key may not do. `account` is that of the node. `resource` is the ARN of a
    /// stream or of a consumer, with the stream's name in it; `None` for what concerns no one stream.
    pub fn check(&self, account: &str, operation: &str, resource: Option<&Arn<'_>>) -> Result<(), Error> {
        if self.may(operation, resource.map(|arn| arn.stream().name)) {
            return Ok(());
        }
        let on = resource.map(|arn| format!(" on resource: {arn}")).unwrap_or_default();
        let name = self.name();
        let message = format!(
            "User: arn:aws:iam::{account}:user/{name} is not authorized to perform: kinesis:{operation}{on} because no \
             identity-based policy allows the kinesis:{operation} action"
        );
        Err(Error::new(Code::AccessDeniedException, message))
    }
}

/// Whether `text` is what `pattern` describes: `*` stands for any characters, also none, `?` for one.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last star does not fit: the star takes one more character.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), retry) {
            (Some(b'*'), _) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            (Some(byte), _) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            (_, Some((after_star, from))) => {
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Signing keys that a worker remembers. Each key signs with one per day and region, so a day has few of them.
const DERIVED_MAX: usize = 64;

/// The keys of one worker, and the signing keys it derived from them.
pub struct Keyring {
    /// Sorted by id.
    keys: Vec<Rc<Key>>,
    /// The most recently derived last.
    derived: RefCell<Vec<Derived>>,
}

/// A signing key, ready for use.
struct Derived {
    access_key_id: String,
    date: String,
    region: String,
    mac: Hmac<Sha256>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Keyring {
    fn new(keys: &Keys) -> Self {
        let mut keys: Vec<_> = keys.0.iter().cloned().map(Rc::new).collect();
        keys.sort_by(|a, b| a.access_key_id.cmp(&b.access_key_id));
        Self { keys, derived: RefCell::default() }
    }

    /// The key with this id.
    pub(super) fn find(&self, access_key_id: &str) -> Option<Principal> {
        let at = self.keys.binary_search_by(|key| key.access_key_id.as_str().cmp(access_key_id)).ok()?;
        Some(Principal(Rc::clone(&self.keys[at])))
    }

    /// The signing key of `principal` for a day and region, from memory if it was used before.
    pub(super) fn signing_key(&self, principal: &Principal, date: &str, region: &str) -> Hmac<Sha256> {
        let id = &principal.0.access_key_id;
        let derived = self.derived.borrow();
        let known = derived.iter().rfind(|known| known.is_for(id, date, region));
        known.map_or_else(|| sigv4::signing_key(principal.0.secret.reveal(), date, region), |known| known.mac.clone())
    }

    /// Remembers a signing key with which a signature was verified. Only then, so that nobody without a key fills the memory.
    pub(super) fn remember(&self, principal: &Principal, date: &str, region: &str, mac: &Hmac<Sha256>) {
        let id = &principal.0.access_key_id;
        let mut derived = self.derived.borrow_mut();
        if derived.iter().any(|known| known.is_for(id, date, region)) {
            return;
        }
        if derived.len() == DERIVED_MAX {
            derived.remove(0);
        }
        let (access_key_id, date, region) = (id.clone(), date.to_owned(), region.to_owned());
        derived.push(Derived { access_key_id, date, region, mac: mac.clone() });
    }
}

impl Derived {
    fn is_for(&self, access_key_id: &str, date: &str, region: &str) -> bool {
        self.date == date && self.region == region && self.access_key_id == access_key_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::arn::StreamArn;

    fn key(name: &str, allow: Option<Vec<Rule>>) -> Key {
        Key { name: name.to_owned(), access_key_id: name.to_uppercase(), secret: Secret::new("s3cret"), allow }
    }

    fn rule(actions: &[&str], streams: &[&str]) -> Rule {
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect();
        Rule { actions: list(actions), streams: list(streams) }
    }

    fn ring(keys: Vec<Key>) -> Keyring {
        let Access::Keys(ring) = Access::new(Some(&Keys::new(keys).unwrap())) else { panic!("keys were given") };
        ring
    }

    /// Goal: patterns match as IAM's do, with both wildcards, several of them, and none.
    #[test]
    fn patterns_match() {
        let yes = [
            ("*", ""),
            ("*", "a"),
            ("Put*", "PutRecord"),
            ("Put*", "Put"),
            ("*Record", "PutRecord"),
            ("a*b*c", "a1b2b3c"),
            ("a?c", "abc"),
            ("**", "x"),
            ("orders-*", "orders-eu"),
            ("a", "a"),
            ("*aab", "aaab"),
        ];
        let no = [
            ("", "a"),
            ("Put*", "put"),
            ("Put", "PutRecord"),
            ("a?c", "ac"),
            ("?", ""),
            ("*b", "a"),
            ("a*b*c", "a1b2b3"),
            ("orders-*", "order-eu"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in no {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    /// Goal: a key does what its rules say: everything without rules, nothing with none of them, and what belongs to no
    /// stream only by a rule for all streams. The refusal reads as that of AWS.
    #[test]
    fn rules_decide() {
        let rules = vec![rule(&["Put*", "GetRecords"], &["orders-*"]), rule(&["ListStreams"], &["*"])];
        let ring = ring(vec![key("admin", None), key("nobody", Some(Vec::new())), key("orders", Some(rules))]);
        let find = |id: &str| ring.find(id).unwrap();
        assert!(find("ADMIN").may("DeleteStream", Some("x")));
        assert!(find("ADMIN").may("ListStreams", None));
        assert!(!find("NOBODY").may("ListStreams", None));
        let orders = find("ORDERS");
        assert!(orders.may("PutRecords", Some("orders-eu")));
        assert!(!orders.may("PutRecords", Some("bills")));
        assert!(!orders.may("DeleteStream", Some("orders-eu")));
        assert!(orders.may("ListStreams", None));
        assert!(!orders.may("GetRecords", None));
        let arn = Arn::Stream(StreamArn::new("us-east-1", "000000000000", "bills"));
        let error = orders.check("000000000000", "PutRecord", Some(&arn)).unwrap_err();
        assert_eq!(
            error.message,
            "User: arn:aws:iam::000000000000:user/orders is not authorized to perform: kinesis:PutRecord on resource: \
             arn:aws:kinesis:us-east-1:000000000000:stream/bills because no identity-based policy allows the \
             kinesis:PutRecord action"
        );
        let error = orders.check("000000000000", "DescribeLimits", None).unwrap_err();
        assert!(error.message.contains("perform: kinesis:DescribeLimits because no"), "{error}");
    }

    /// Goal: ids are distinct, unknown ones are not found, and no secret shows in what is printed of any of it.
    #[test]
    fn keys_are_told_apart() {
        let twice = Keys::new(vec![key("a", None), key("b", None), key("a", None)]);
        assert_eq!(twice.unwrap_err(), DuplicateId("A".to_owned()));
        let ring = ring(vec![key("b", None), key("a", None), key("c", None)]);
        assert_eq!(ring.find("A").unwrap().name(), "a");
        assert!(ring.find("a").is_none());
        assert!(ring.find("").is_none());
        assert!(!format!("{ring:?} {:?}", ring.find("B")).contains("s3cret"));
    }

    /// Goal: signing keys are remembered once each, and never more than there is room for.
    #[test]
    fn signing_keys_are_remembered() {
        let ring = ring(vec![key("a", None)]);
        let principal = ring.find("A").unwrap();
        for round in 0..3 * DERIVED_MAX {
            let region = format!("region-{}", round % (2 * DERIVED_MAX));
            let mac = ring.signing_key(&principal, "20150830", &region);
            ring.remember(&principal, "20150830", &region, &mac);
            ring.remember(&principal, "20150830", &region, &mac);
            assert!(ring.derived.borrow().len() <= DERIVED_MAX);
        }
        assert_eq!(ring.derived.borrow().len(), DERIVED_MAX);
    }
}
