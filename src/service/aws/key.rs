//! Which KMS key, and what is known of it before anything is read or asked.

use super::endpoint::is_region;

/// A KMS key as someone names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KmsKey {
    /// As it was given, and as KMS takes it.
    pub(crate) text: String,
    /// Whether it is an alias, which may point to another key tomorrow.
    pub(super) is_alias: bool,
}

impl KmsKey {
    pub(super) fn parse(text: &str) -> Result<KmsKey, String> {
        const NONE: &str = "a KMS key is named by its id, by alias/NAME or by the ARN of either";
        let resource = match text.strip_prefix("arn:") {
            Some(_) => Arn::parse(text).ok_or(NONE)?.resource,
            None => text.strip_prefix("key/").map_or(text, |_| ""),
        };
        let (id, is_alias) = match resource.split_once('/') {
            Some(("alias", name)) => (name, true),
            Some(("key", id)) => (id, false),
            Some(_) => ("", false),
            None => (resource, false),
        };
        let is_name = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c) || (is_alias && c == b'/');
        if id.is_empty() || text.len() > 512 || !id.bytes().all(is_name) {
            return Err(NONE.into());
        }
        Ok(KmsKey {
            text: text.to_owned(),
            is_alias,
        })
    }

    pub(super) fn region(&self) -> Option<&str> {
        Arn::parse(&self.text).map(|arn| arn.region)
    }

    /// The id of the key; `None` for an alias.
    pub(crate) fn id(&self) -> Option<&str> {
        if self.is_alias {
            return None;
        }
        Some(self.text.rsplit('/').next().unwrap_or(&self.text))
    }
}

/// The name of a key or an alias in all of AWS: `arn:aws:kms:eu-central-1:111122223333:key/ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    partition: &'a str,
    pub(crate) region: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        let ("arn", partition, "kms", region) = (next()?, next()?, next()?, next()?) else {
            return None;
        };
        let arn = Arn {
            partition,
            region,
            account: next()?,
            resource: next()?,
        };
        let is_plain =
            is_region(partition) && is_region(region) && arn.account.bytes().all(|c| c.is_ascii_digit());
        (is_plain && !arn.account.is_empty()).then_some(arn)
    }

    /// The id, if it is a key's.
    pub(crate) fn key_id(&self) -> Option<&'a str> {
        let id = self.resource.strip_prefix("key/")?;
        let is_id = !id.is_empty() && id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        is_id.then_some(id)
    }

    /// The same key in another region, where a multi-Region key has a replica of the same id there.
    pub(crate) fn in_region(&self, region: &str) -> String {
        let region = match self.key_id() {
            Some(id) if id.starts_with("mrk-") => region,
            _ => self.region,
        };
        format!(
            "arn:{}:kms:{region}:{}:{}",
            self.partition, self.account, self.resource
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn a_key_is_an_id_an_alias_or_an_arn() {
        let arn = format!("arn:aws:kms:eu-central-1:111122223333:key/{ID}");
        for (text, is_alias, id, region) in [
            (ID, false, Some(ID), None),
            (
                "mrk-1234abcd12ab34cd56ef1234567890ab",
                false,
                Some("mrk-1234abcd12ab34cd56ef1234567890ab"),
                None,
            ),
            ("alias/mariadb-encryption", true, None, None),
            ("alias/a/b_c", true, None, None),
            (&arn, false, Some(ID), Some("eu-central-1")),
            (
                "arn:aws-cn:kms:cn-north-1:111122223333:alias/x",
                true,
                None,
                Some("cn-north-1"),
            ),
        ] {
            let key = KmsKey::parse(text).unwrap();
            assert_eq!(
                (key.is_alias, key.id(), key.region()),
                (is_alias, id, region),
                "{text}"
            );
        }
    }

    #[test]
    fn what_names_no_key_is_refused() {
        for text in [
            "",
            "alias/",
            "alias",
            "key/x/y",
            "a b",
            "alias/a b",
            "alias/ä",
            "arn:",
            "arn:aws:s3:::bucket",
            "/etc/x",
            "arn:aws:kms:eu-central-1:111122223333:key/",
            "arn:aws:kms::111122223333:key/x",
            "arn:aws:kms:a.b:1:key/x",
            "arn:aws:kms:eu-central-1::key/x",
            "arn:aws:kms:eu-central-1:1:other/x",
            "alias/a\nb",
            "key/x",
            &"a".repeat(513),
        ] {
            let is_the_word_alias = text == "alias";
            assert_eq!(KmsKey::parse(text).is_err(), !is_the_word_alias, "{text}");
        }
    }

    #[test]
    fn a_multi_region_key_has_the_same_id_in_each_region() {
        let single = format!("arn:aws:kms:eu-central-1:1:key/{ID}");
        assert_eq!(Arn::parse(&single).unwrap().in_region("us-east-1"), single);
        let multi = Arn::parse("arn:aws:kms:eu-central-1:1:key/mrk-1").unwrap();
        assert_eq!(multi.in_region("us-east-1"), "arn:aws:kms:us-east-1:1:key/mrk-1");
    }
}
