//! What stores answer, as errors that say what mends them.

use object_store::Error as StoreError;

use super::address::{Address, Scheme};
use super::{runtime, stores};
use crate::error::Error;

/// The message of all errors about an object that is not what it was when the run began.
pub(super) const CHANGED: &str = "the input changed while it was read";

/// The error of an object that changed.
pub(super) fn changed(detail: &str) -> Error {
    Error::data(CHANGED).with("detail", detail).help("run again once nobody writes to it")
}

/// The error of a client that cannot be made.
pub(super) fn unusable(address: &Address, error: StoreError) -> Error {
    Error::usage("the settings of the object store cannot be used")
        .with("address", address)
        .with("detail", innermost(&error))
        .caused_by(error)
}

/// The error of a request.
pub(super) fn of(address: &Address, error: StoreError) -> Error {
    let text = error.to_string();
    let code = between(&text, "<Code>", "</Code>").unwrap_or_default().to_owned();
    let made = match &error {
        _ if address.scheme == Scheme::S3 && is_of_region(&text, &code) => in_other_region(address, &text),
        _ if matches!(&*code, "NoSuchBucket" | "ContainerNotFound") => {
            Error::missing("there is no such bucket").with("bucket", &address.bucket)
        }
        StoreError::NotFound { .. } => Error::missing("there is no such object"),
        StoreError::Precondition { .. } => changed("the object was replaced"),
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => denied(address, &text, &code),
        StoreError::InvalidPath { .. } => Error::data("the bucket has a key that cannot be read")
            .with("detail", innermost(&error))
            .help("name the folders beside it: a part of a key may not be empty, '.' or '..'"),
        _ if text.contains("169.254.169.254") || text.contains("metadata.google.internal") => {
            Error::usage("there are no credentials for the object store").help(credentials(address.scheme))
        }
        _ if text.contains("non-partial response") || text.contains("Range request not supported") => {
            Error::usage("the server does not send parts of files")
                .help(format!("fetch the file first: curl -LO '{address}'"))
        }
        _ => {
            let detail = match between(&text, "<Message>", "</Message>") {
                Some(message) => format!("{code}: {message}"),
                None => innermost(&error),
            };
            Error::io("the object store does not do what it is asked").with("detail", detail)
        }
    };
    made.with("address", address).caused_by(error)
}

fn denied(address: &Address, text: &str, code: &str) -> Error {
    let error = Error::io("the object store denies access");
    let error = match between(text, "<Message>", "</Message>") {
        Some(message) => error.with("detail", format!("{code}: {message}")),
        None => error,
    };
    error.help(credentials(address.scheme))
}

fn credentials(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => {
            "AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say who you are; AWS_SKIP_SIGNATURE=true reads \
             public buckets"
        }
        Scheme::Google => {
            "GOOGLE_APPLICATION_CREDENTIALS names a file of keys; GOOGLE_SKIP_SIGNATURE=true reads public buckets"
        }
        Scheme::Azure => {
            "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY say who you are; AZURE_SKIP_SIGNATURE=true reads \
             public containers"
        }
        Scheme::Web => "the address may have to be signed, or to be fetched with a password first",
    }
}

/// Whether an answer may mean that the bucket is in another region. Answers to questions about one object have no text.
fn is_of_region(text: &str, code: &str) -> bool {
    text.contains("redirect without LOCATION")
        || matches!(code, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException")
        || text.contains("status code: 400 Bad Request: ")
}

fn in_other_region(address: &Address, text: &str) -> Error {
    let named = between(text, "<Region>", "</Region>").map(str::to_owned);
    let asked = || runtime::begin(stores::region_of(address.clone())).and_then(|asked| asked.wait()).ok().flatten();
    match named.or_else(asked) {
        Some(region) => Error::usage("the bucket is in another region")
            .with("region", &region)
            .help(format!("export AWS_REGION={region}")),
        None => Error::usage("the store does not serve this bucket, which may be in another region")
            .help("AWS_REGION or the region of the profile in ~/.aws/config says which one is asked"),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inner, _)| inner)
}

/// What the innermost cause says, in one line.
fn innermost(error: &StoreError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
