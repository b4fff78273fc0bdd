//! Where KMS and STS are: the endpoint of a region, in its partition, or another one that someone
//! names.
//!
//! "AWS Key Management Service endpoints and quotas" and "AWS Security Token Service endpoints and
//! quotas", AWS General Reference; partitions.json of the AWS SDKs for the domains of partitions.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// As host names and signatures spell it.
    pub(super) name: &'static str,
    /// As it is called in messages.
    pub(super) title: &'static str,
    /// The variable of the environment that names another endpoint.
    pub(super) endpoint_variable: &'static str,
}

impl Service {
    pub(super) const KMS: Service = Service {
        name: "kms",
        title: "KMS",
        endpoint_variable: "AWS_ENDPOINT_URL_KMS",
    };

    /// Security Token Service, which gives credentials for roles.
    pub(super) const STS: Service = Service {
        name: "sts",
        title: "STS",
        endpoint_variable: "AWS_ENDPOINT_URL_STS",
    };
}

/// Which of a region's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Variant {
    /// Validated by FIPS 140.
    pub(super) fips: bool,
    pub(super) dual_stack: bool,
}

/// Start of a region's name, the domain of its endpoints, the domain of its dual-stack endpoints.
const PARTITIONS: [(&str, &str, &str); 8] = [
    ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("us-gov-", "amazonaws.com", "api.aws"),
    ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    // All others, those among them that are yet to come.
    ("", "amazonaws.com", "api.aws"),
];

pub(super) fn url(service: Service, region: &str, variant: Variant) -> String {
    let partition = PARTITIONS.iter().find(|(start, ..)| region.starts_with(start));
    let (start, domain, dual_stack_domain) = partition.copied().unwrap_or(PARTITIONS[7]);
    // In GovCloud the only endpoint of STS is a validated one, without a name of its own.
    let validated_already = service == Service::STS && start == "us-gov-" && !variant.dual_stack;
    let fips = if variant.fips && !validated_already {
        "-fips"
    } else {
        ""
    };
    let domain = if variant.dual_stack {
        dual_stack_domain
    } else {
        domain
    };
    format!("https://{}{fips}.{region}.{domain}", service.name)
}

/// Whether the text can be a region: a label of a host name, so that no other host can be meant.
pub(super) fn is_region(text: &str) -> bool {
    let label = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(label)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with botocore's endpoint rules: `Session().create_client("kms",
    /// region).meta.endpoint_url` and its like.
    #[test]
    fn endpoints_are_those_of_the_sdks() {
        let (plain, fips) = (
            Variant::default(),
            Variant {
                fips: true,
                dual_stack: false,
            },
        );
        let (dual, both) = (
            Variant {
                fips: false,
                dual_stack: true,
            },
            Variant {
                fips: true,
                dual_stack: true,
            },
        );
        for (service, region, variant, expected) in [
            (
                Service::KMS,
                "eu-central-1",
                plain,
                "https://kms.eu-central-1.amazonaws.com",
            ),
            (
                Service::KMS,
                "us-east-1",
                fips,
                "https://kms-fips.us-east-1.amazonaws.com",
            ),
            (Service::KMS, "us-east-1", dual, "https://kms.us-east-1.api.aws"),
            (
                Service::KMS,
                "us-east-1",
                both,
                "https://kms-fips.us-east-1.api.aws",
            ),
            (
                Service::KMS,
                "cn-north-1",
                plain,
                "https://kms.cn-north-1.amazonaws.com.cn",
            ),
            (
                Service::KMS,
                "cn-north-1",
                dual,
                "https://kms.cn-north-1.api.amazonwebservices.com.cn",
            ),
            (
                Service::KMS,
                "us-gov-west-1",
                plain,
                "https://kms.us-gov-west-1.amazonaws.com",
            ),
            (
                Service::KMS,
                "us-gov-west-1",
                fips,
                "https://kms-fips.us-gov-west-1.amazonaws.com",
            ),
            (
                Service::KMS,
                "us-iso-east-1",
                plain,
                "https://kms.us-iso-east-1.c2s.ic.gov",
            ),
            (
                Service::KMS,
                "us-isob-east-1",
                plain,
                "https://kms.us-isob-east-1.sc2s.sgov.gov",
            ),
            (
                Service::KMS,
                "eu-isoe-west-1",
                plain,
                "https://kms.eu-isoe-west-1.cloud.adc-e.uk",
            ),
            (
                Service::KMS,
                "us-isof-south-1",
                plain,
                "https://kms.us-isof-south-1.csp.hci.ic.gov",
            ),
            (
                Service::KMS,
                "eusc-de-east-1",
                plain,
                "https://kms.eusc-de-east-1.amazonaws.eu",
            ),
            (
                Service::KMS,
                "mx-central-1",
                plain,
                "https://kms.mx-central-1.amazonaws.com",
            ),
            (
                Service::STS,
                "eu-central-1",
                plain,
                "https://sts.eu-central-1.amazonaws.com",
            ),
            (
                Service::STS,
                "us-east-2",
                fips,
                "https://sts-fips.us-east-2.amazonaws.com",
            ),
            (
                Service::STS,
                "us-gov-west-1",
                fips,
                "https://sts.us-gov-west-1.amazonaws.com",
            ),
            (
                Service::STS,
                "us-gov-west-1",
                both,
                "https://sts-fips.us-gov-west-1.api.aws",
            ),
            (
                Service::STS,
                "cn-north-1",
                plain,
                "https://sts.cn-north-1.amazonaws.com.cn",
            ),
        ] {
            assert_eq!(url(service, region, variant), expected);
        }
    }

    #[test]
    fn a_region_is_a_label_of_a_host_name() {
        for good in ["us-east-1", "eusc-de-east-1", "local"] {
            assert!(is_region(good), "{good}");
        }
        for bad in [
            "",
            "US-EAST-1",
            "us-east-1.evil.example",
            "a/b",
            "a@b",
            "a#",
            "-a",
            "a-",
            "us east",
            &"a".repeat(64),
        ] {
            assert!(!is_region(bad), "{bad}");
        }
    }
}
