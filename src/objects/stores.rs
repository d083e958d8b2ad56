//! One client for each bucket, made of what the environment and `~/.aws` say.

use std::collections::HashMap;
use std::env::{var, vars_os};
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{ClientOptions, HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{ObjectStore, RetryConfig};

use super::address::{Address, Scheme};
use super::{failure, profile};
use crate::error::{Error, Result};

/// How long a request may take, its body included.
const TIMEOUT: Duration = Duration::from_mins(2);

/// The same for what is written, which is one request.
const WRITING: Duration = Duration::from_hours(1);

/// How often a request is made again, with growing pauses, after what may pass: no connection, a server that is busy.
const RETRIES: usize = 8;

/// What a client is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    Reading,
    Writing,
}

/// A client serves a store of an address, with its query, for one use, under the settings of which it was made.
type Clients = HashMap<(String, String, Use, Settings), Arc<dyn ObjectStore>>;

/// The variables of the environment that clients look at, sorted.
type Settings = Vec<(OsString, OsString)>;

/// The client for an address. A program may change its environment: then later requests are made by a new client.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) if the settings contradict each other or name no credentials that can be
/// used.
pub(super) fn client(address: &Address, use_: Use) -> Result<Arc<dyn ObjectStore>> {
    static CLIENTS: Mutex<Option<Clients>> = Mutex::new(None);
    let key = (address.store.clone(), address.query.clone(), use_, settings());
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get_or_insert_default().get(&key) {
        return Ok(client.clone());
    }
    let made = make(address, use_)?;
    clients.get_or_insert_default().insert(key, made.clone());
    Ok(made)
}

/// The settings that the environment has at this moment.
fn settings() -> Settings {
    const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
    let is_setting = |name: &OsString| name.to_str().is_some_and(|name| PREFIXES.iter().any(|of| name.starts_with(of)));
    let mut settings: Settings = vars_os().filter(|(name, _)| is_setting(name)).collect();
    settings.sort();
    settings
}

fn make(address: &Address, use_: Use) -> Result<Arc<dyn ObjectStore>> {
    let timeout = if use_ == Use::Reading { TIMEOUT } else { WRITING };
    let retries = RetryConfig { max_retries: RETRIES, ..RetryConfig::default() };
    let unusable = |error| failure::unusable(address, error);
    Ok(match address.scheme {
        Scheme::S3 => {
            check_endpoint()?;
            let options = options(timeout).with_allow_http(may_use_http());
            let mut builder = AmazonS3Builder::from_env()
                .with_client_options(options)
                .with_retry(retries)
                .with_bucket_name(&address.bucket);
            for (key, value) in profile::settings()? {
                let key = match key {
                    profile::Key::Access => AmazonS3ConfigKey::AccessKeyId,
                    profile::Key::Secret => AmazonS3ConfigKey::SecretAccessKey,
                    profile::Key::SessionToken => AmazonS3ConfigKey::Token,
                    profile::Key::Region => AmazonS3ConfigKey::Region,
                };
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(unusable)?)
        }
        Scheme::Google => Arc::new(
            GoogleCloudStorageBuilder::from_env()
                .with_client_options(options(timeout))
                .with_retry(retries)
                .with_bucket_name(&address.bucket)
                .build()
                .map_err(unusable)?,
        ),
        Scheme::Azure => Arc::new(
            MicrosoftAzureBuilder::from_env()
                .with_client_options(options(timeout))
                .with_retry(retries)
                .with_container_name(&address.bucket)
                .build()
                .map_err(unusable)?,
        ),
        Scheme::Web => Arc::new(
            HttpBuilder::new()
                .with_url(format!("{}/{}", address.store, address.query))
                .with_client_options(options(timeout).with_allow_http(true))
                .with_retry(retries)
                .build()
                .map_err(unusable)?,
        ),
    })
}

fn options(timeout: Duration) -> ClientOptions {
    ClientOptions::new().with_timeout(timeout)
}

/// The endpoint that stands in for Amazon's.
fn endpoint() -> Option<String> {
    ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"].into_iter().find_map(|name| var(name).ok())
}

/// Fails unless the endpoint, if one is set, is the address of a server.
fn check_endpoint() -> Result<()> {
    match endpoint().filter(|text| !is_server(text)) {
        Some(text) => Err(Error::usage("the endpoint of S3 is no address of a server")
            .with("AWS_ENDPOINT_URL", text)
            .help("http://HOST:PORT or https://HOST; unset it to use Amazon's")),
        None => Ok(()),
    }
}

fn is_server(text: &str) -> bool {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    let Ok(uri) = text.parse() else { return false };
    *request.uri_mut() = uri;
    let uri = request.uri();
    let host = uri.host().unwrap_or_default();
    let has_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
    matches!(uri.scheme_str(), Some("http" | "https")) && !host.is_empty() && (!has_port || uri.port_u16().is_some())
}

/// Whoever names an endpoint without encryption means it.
fn may_use_http() -> bool {
    let allowed = var("AWS_ALLOW_HTTP").is_ok_and(|text| matches!(text.to_ascii_lowercase().as_str(), "1" | "true"));
    allowed || endpoint().is_some_and(|endpoint| endpoint.starts_with("http://"))
}

/// The region in which a bucket of S3 is, if the store says so.
pub(super) async fn region_of(address: Address) -> Option<String> {
    let endpoint = endpoint().unwrap_or_else(|| "https://s3.amazonaws.com".to_owned());
    let client = ReqwestConnector::default().connect(&options(TIMEOUT).with_allow_http(may_use_http())).ok()?;
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = "HEAD".parse().ok()?;
    *request.uri_mut() = format!("{}/{}", endpoint.trim_end_matches('/'), address.bucket).parse().ok()?;
    let response = client.execute(request).await.ok()?;
    response.headers().get("x-amz-bucket-region")?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_server() {
        for text in ["http://127.0.0.1:9000", "https://s3.example.org", "http://[::1]:9000/", "http://minio:9000/path"]
        {
            assert!(is_server(text), "{text}");
        }
        for text in ["", "127.0.0.1:9000", "localhost:9000", "http://", "http://[::1", "http://a:99999", "s3://bucket"]
        {
            assert!(!is_server(text), "{text}");
        }
    }
}
