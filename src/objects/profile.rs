//! Keys from `~/.aws/credentials` and `~/.aws/config`, if the environment has none.

use std::collections::HashMap;
use std::env::{home_dir, var, var_os};
use std::path::PathBuf;

use crate::error::{Error, Result};

/// A setting of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Access,
    Secret,
    SessionToken,
    Region,
}

/// What the chosen profile adds to the environment, which comes first.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) if the profile named in `AWS_PROFILE` does not exist, or gets its keys from
/// elsewhere.
pub(super) fn settings() -> Result<Vec<(Key, String)>> {
    let is_set = |name: &str| var(name).is_ok_and(|value| !value.is_empty());
    let has_keys = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"].into_iter().any(is_set)
        || var("AWS_SKIP_SIGNATURE").is_ok_and(|text| matches!(text.to_ascii_lowercase().as_str(), "1" | "true"));
    let has_region = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().any(is_set);
    let named = var("AWS_PROFILE").or_else(|_| var("AWS_DEFAULT_PROFILE")).ok().filter(|name| !name.is_empty());
    let read = |variable: &str, name: &str| {
        let path = var_os(variable).map(PathBuf::from).or_else(|| Some(home_dir()?.join(".aws").join(name)));
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    };
    let credentials = read("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = read("AWS_CONFIG_FILE", "config");
    let profile = named.as_deref().unwrap_or("default");
    let mut settings = of_profile(&credentials, &config, profile, named.is_some(), !has_keys)?;
    settings.retain(|(key, _)| match key {
        Key::Region => !has_region,
        Key::Access | Key::Secret | Key::SessionToken => !has_keys,
    });
    Ok(settings)
}

/// What the two files say of a profile, that of the credentials first.
fn of_profile(
    credentials: &str,
    config: &str,
    profile: &str,
    must_exist: bool,
    wants_keys: bool,
) -> Result<Vec<(Key, String)>> {
    let in_config = if profile == "default" { "default".to_owned() } else { format!("profile {profile}") };
    let (one, other) = (section(credentials, profile), section(config, &in_config));
    if one.is_none() && other.is_none() && must_exist && wants_keys {
        return Err(Error::usage("there is no such profile in ~/.aws/config or ~/.aws/credentials")
            .with("AWS_PROFILE", profile)
            .help("aws configure list-profiles shows their names"));
    }
    let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
    let value = |name: &str| one.get(name).or_else(|| other.get(name)).map(|value| (*value).to_owned());
    let mut settings = Vec::new();
    settings.extend(value("region").map(|region| (Key::Region, region)));
    // Both keys are of one file: half a pair of each would be neither.
    let pair = |from: &HashMap<&str, &str>| {
        let text = |name: &str| from.get(name).map(|value| (*value).to_owned());
        Some((text("aws_access_key_id")?, text("aws_secret_access_key")?, text("aws_session_token")))
    };
    if let Some((access, secret, token)) = pair(&one).or_else(|| pair(&other)) {
        settings.extend([(Key::Access, access), (Key::Secret, secret)]);
        settings.extend(token.map(|token| (Key::SessionToken, token)));
        return Ok(settings);
    }
    let elsewhere = [
        ("sso_session", "single sign-on"),
        ("sso_start_url", "single sign-on"),
        ("role_arn", "another role"),
        ("credential_process", "a program"),
        ("login_session", "aws login"),
    ];
    let elsewhere = elsewhere.into_iter().find(|(name, _)| value(name).is_some());
    if let Some((_, what)) = elsewhere.filter(|_| wants_keys) {
        return Err(Error::usage(format!(
            "the AWS profile gets its keys by {what}, which only the tool of AWS can do"
        ))
        .with("profile", profile)
        .help(format!(
            "export them, then give the command again: eval \"$(aws configure export-credentials --profile {profile} \
                 --format env)\""
        )));
    }
    Ok(settings)
}

/// The settings of a section, if it is there. Indented lines belong to a setting of another kind.
fn section<'a>(text: &'a str, name: &str) -> Option<HashMap<&'a str, &'a str>> {
    let mut found: Option<HashMap<&str, &str>> = None;
    let mut inside = false;
    for line in text.lines() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            inside = title.split_whitespace().eq(name.split_whitespace());
            if inside {
                found.get_or_insert_default();
            }
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside && !is_nested) {
            let value = value.split(" #").next().unwrap_or(value);
            found.get_or_insert_default().insert(key.trim(), value.trim());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "
[default]
aws_access_key_id = AKIA1
aws_secret_access_key= a/b+c=
# a comment
[work]
aws_access_key_id=AKIA2
aws_secret_access_key=two
aws_session_token=token==
";
    const CONFIG: &str = "
[default]
region = eu-west-1
s3 =
  region = nested
[profile work]
region=us-west-2   # near the data
[profile  sso]
sso_session = mine
region = eu-north-1
[profile other]
role_arn = arn:aws:iam::1:role/x
[sso-session mine]
sso_start_url = https://x
";

    fn profile(name: &str) -> Result<Vec<(Key, String)>> {
        of_profile(CREDENTIALS, CONFIG, name, true, true)
    }

    #[test]
    fn keys_and_region_of_a_profile() {
        let text = |pairs: &[(Key, &str)]| -> Vec<(Key, String)> {
            pairs.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
        };
        let first = [(Key::Region, "eu-west-1"), (Key::Access, "AKIA1"), (Key::Secret, "a/b+c=")];
        assert_eq!(profile("default").unwrap(), text(&first));
        let work =
            [(Key::Region, "us-west-2"), (Key::Access, "AKIA2"), (Key::Secret, "two"), (Key::SessionToken, "token==")];
        assert_eq!(profile("work").unwrap(), text(&work));
        assert!(of_profile("", "", "default", false, true).unwrap().is_empty());
    }

    #[test]
    fn keys_that_come_from_elsewhere_are_exported_first() {
        for name in ["sso", "other"] {
            let error = profile(name).unwrap_err();
            assert!(error.advice().unwrap().contains("aws configure export-credentials"), "{error}");
        }
        // Where the environment has keys, only the region is asked for.
        let region = of_profile(CREDENTIALS, CONFIG, "sso", true, false).unwrap();
        assert_eq!(region, [(Key::Region, "eu-north-1".to_owned())]);
        assert!(profile("nobody").unwrap_err().message().contains("no such profile"));
    }
}
