//! A part of a bucket as a store, over the S3 API.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::path::Path;
use object_store::{
    CredentialProvider, Error as Fault, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    RetryConfig, WriteMultipart,
};
use rustls::ClientConfig;

use etcd_rejoin_host::error::Error;

use super::object::{Creation, Listing, SMALL};
use crate::http::{OurHttp, chain};

/// The smallest part of an upload but the last: S3 wants 5 MiB.
const PART: usize = 6 << 20;
/// S3 takes 10,000 parts; some are left for what was not expected.
const PARTS: u64 = 9000;
/// How many parts are under way at once.
const AT_ONCE: usize = 2;
/// How long a download may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How often, and for how long, a request that failed is sent again.
const TRIES: usize = 6;
const TRYING: Duration = Duration::from_secs(60);

/// A bucket, a prefix in it, and how to reach it.
#[derive(Clone)]
pub struct BucketPlace {
    /// The bucket.
    pub bucket: String,
    /// The prefix, without a slash at its ends.
    pub prefix: String,
    /// The variables that begin with `AWS_`.
    pub aws: BTreeMap<String, String>,
    /// How long a failing request may be tried again; less than usual where somebody waits.
    pub patience: Option<Duration>,
    /// A file with credentials, read for each use of them.
    pub credentials: Option<Credentialed>,
}

impl fmt::Debug for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// A profile in a file of credentials, as the AWS command line writes it.
#[derive(Clone, Debug)]
pub struct Credentialed {
    /// The file.
    pub file: PathBuf,
    /// The profile in it.
    pub profile: String,
}

#[async_trait]
impl CredentialProvider for Credentialed {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |words: String| Fault::Generic {
            store: "credentials",
            source: format!("{}: {words}", self.file.display()).into(),
        };
        let text =
            std::fs::read_to_string(&self.file).map_err(|error| failed(error.to_string()))?;
        let found = in_profile(&text, &self.profile);
        found
            .map(Arc::new)
            .ok_or_else(|| failed(format!("no key pair in the profile [{}]", self.profile)))
    }
}

/// The key pair of a profile.
fn in_profile(text: &str, profile: &str) -> Option<AwsCredential> {
    let heading = format!("[{profile}]");
    let lines = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != heading)
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let values: BTreeMap<&str, &str> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let value = |name| values.get(name).map(|value| value.to_string());
    Some(AwsCredential {
        key_id: value("aws_access_key_id")?,
        secret_key: value("aws_secret_access_key")?,
        token: value("aws_session_token"),
    })
}

/// An error with the code and the message of the store alone, of the XML that it sent.
fn spoken(words: &str) -> String {
    let begin = words.find("<?xml").or_else(|| words.find("<Error>"));
    let Some((before, xml)) = begin.map(|begin| words.split_at(begin)) else {
        return words.into();
    };
    let element = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{before}{code}: {message}"),
        (Some(only), None) => format!("{before}{only}"),
        (None, _) => words.into(),
    }
}

/// A part of a bucket.
#[derive(Debug)]
pub struct Bucket {
    s3: AmazonS3,
    place: BucketPlace,
}

impl Bucket {
    /// Asks nobody yet. The error names a setting that is wrong.
    pub fn open(place: &BucketPlace, tls: Arc<ClientConfig>) -> Result<Bucket, Error> {
        let mut builder = AmazonS3Builder::new().with_http_connector(OurHttp(tls));
        for (name, value) in &place.aws {
            // Others of these variables are for other programs.
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(credentials) = &place.credentials {
            builder = builder.with_credentials(Arc::new(credentials.clone()));
        }
        let retry = RetryConfig {
            max_retries: TRIES,
            retry_timeout: place.patience.unwrap_or(TRYING),
            ..RetryConfig::default()
        };
        let built = builder
            .with_bucket_name(&place.bucket)
            .with_allow_http(true)
            .with_retry(retry)
            .build();
        let s3 = built.map_err(|fault| {
            Error::new(format!("the settings AWS_* do not fit: {}", chain(&fault)))
        })?;
        Ok(Bucket {
            s3,
            place: place.clone(),
        })
    }

    fn path(&self, key: &str) -> Path {
        match self.place.prefix.is_empty() {
            true => Path::from(key),
            false => Path::from(format!("{}/{key}", self.place.prefix)),
        }
    }

    /// What went wrong with which object, and what to do about it.
    fn failed(&self, what: &str, key: &str, fault: &Fault) -> Error {
        let words = spoken(&chain(fault));
        let has = |word: &str| words.contains(word);
        let cure = match fault {
            _ if has("RequestTimeTooSkewed") => "; set this machine's clock",
            _ if has("ExpiredToken") => "; the credentials have expired: renew them",
            _ if has("NoSuchBucket") => "; create the bucket, or correct REJOIN_STORE",
            _ if has("InvalidAccessKeyId") || has("SignatureDoesNotMatch") => {
                "; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not taken there"
            }
            _ if has("AuthorizationHeaderMalformed")
                || has("PermanentRedirect")
                || has("Received redirect") =>
            {
                "; set AWS_REGION to the bucket's region"
            }
            _ if has("169.254.169.254") || has("latest/meta-data") || has("latest/api/token") => {
                "; no credentials are given: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE"
            }
            _ if has("empty path segment") => {
                "; a key there has an empty part, `//`: remove it, or take a prefix without such keys"
            }
            _ if has("UnknownIssuer") => {
                "; REJOIN_STORE_CACERT names the CA of the store's certificate"
            }
            // A listing that is refused has no kind of its own.
            _ if has("AccessDenied")
                || matches!(
                    fault,
                    Fault::PermissionDenied { .. } | Fault::Unauthenticated { .. }
                ) =>
            {
                "; the credentials have to allow listing the bucket, and reading, writing and deleting below the prefix"
            }
            _ => "",
        };
        Error::new(format!(
            "cannot {what} s3://{}/{}: {words}{cure}",
            self.place.bucket,
            self.path(key)
        ))
    }

    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let found = match self.s3.get(&self.path(key)).await {
            Ok(found) => found,
            Err(fault @ Fault::NotFound { .. }) if !chain(&fault).contains("NoSuchBucket") => {
                return Ok(None);
            }
            Err(fault) => return Err(self.failed("read", key, &fault)),
        };
        if found.meta.size > SMALL as u64 {
            return Err(Error::new(format!(
                "{key} is larger than {SMALL} bytes: it is not ours"
            )));
        }
        let bytes = found
            .bytes()
            .await
            .map_err(|fault| self.failed("read", key, &fault))?;
        Ok(Some(bytes.into()))
    }

    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let put = self.s3.put(&self.path(key), bytes.into()).await;
        put.map(drop)
            .map_err(|fault| self.failed("write", key, &fault))
    }

    pub async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<Creation, Error> {
        let options = PutOptions::from(PutMode::Create);
        match self
            .s3
            .put_opts(&self.path(key), bytes.into(), options)
            .await
        {
            Ok(_) => Ok(Creation::Ours),
            Err(Fault::AlreadyExists { .. }) => Ok(Creation::Others),
            Err(fault) => Err(self.failed("create", key, &fault)),
        }
    }

    pub async fn list(&self, folder: &str) -> Result<Vec<Listing>, Error> {
        let root = self.path("");
        let listed = self.s3.list(Some(&self.path(folder))).map_ok(|meta| {
            let below = meta
                .location
                .prefix_match(&root)
                .map(|parts| parts.collect::<Path>());
            below.map(|key| Listing {
                key: key.to_string(),
                size: meta.size,
                modified: meta.last_modified.into(),
            })
        });
        let found: Vec<_> = listed
            .try_collect()
            .await
            .map_err(|fault| self.failed("list", folder, &fault))?;
        Ok(found.into_iter().flatten().collect())
    }

    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.s3.delete(&self.path(key)).await {
            Ok(()) | Err(Fault::NotFound { .. }) => Ok(()),
            Err(fault) => Err(self.failed("delete", key, &fault)),
        }
    }

    pub async fn upload(&self, key: &str, expected: u64) -> Result<Parts, Error> {
        let upload = self.s3.put_multipart(&self.path(key)).await;
        let upload = upload.map_err(|fault| self.failed("begin to write", key, &fault))?;
        let piece = PART.max((expected / PARTS) as usize);
        Ok(Parts {
            upload: WriteMultipart::new_with_chunk_size(upload, piece),
            piece,
            of: Bucket {
                s3: self.s3.clone(),
                place: self.place.clone(),
            },
            key: key.into(),
        })
    }

    pub async fn download(&self, key: &str) -> Result<Body, Error> {
        let found = self.s3.get(&self.path(key)).await;
        let found = found.map_err(|fault| self.failed("read", key, &fault))?;
        Ok(Body {
            stream: found.into_stream(),
            of: Bucket {
                s3: self.s3.clone(),
                place: self.place.clone(),
            },
            key: key.into(),
        })
    }
}

/// An upload in parts.
#[derive(Debug)]
pub struct Parts {
    upload: WriteMultipart,
    piece: usize,
    of: Bucket,
    key: String,
}

impl Parts {
    pub fn piece(&self) -> usize {
        self.piece
    }

    pub async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        let room = self.upload.wait_for_capacity(AT_ONCE).await;
        room.map_err(|fault| self.of.failed("write a part of", &self.key, &fault))?;
        self.upload.put(piece);
        Ok(())
    }

    pub async fn finish(self) -> Result<(), Error> {
        let finished = self.upload.finish().await;
        finished
            .map(drop)
            .map_err(|fault| self.of.failed("finish", &self.key, &fault))
    }

    pub async fn abort(self) {
        if let Err(fault) = self.upload.abort().await {
            let error = self.of.failed("abort the upload of", &self.key, &fault);
            log::warn!("{error}; a lifecycle rule of the bucket can end unfinished uploads");
        }
    }
}

/// What is being read.
pub struct Body {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    of: Bucket,
    key: String,
}

impl Body {
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match tokio::time::timeout(SILENCE, self.stream.next()).await {
            Ok(piece) => piece
                .transpose()
                .map_err(|fault| self.of.failed("read", &self.key, &fault)),
            Err(_) => Err(Error::new(format!(
                "nothing comes of {} for {SILENCE:?}",
                self.key
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_in_xml_the_code_and_the_message_are_said() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>There is none.</Message><HostId>x</HostId></Error>";
        let said = spoken(&format!("GET u: 404 Not Found: {xml}"));
        assert_eq!(said, "GET u: 404 Not Found: NoSuchBucket: There is none.");
        for other in ["connection refused", "500: <?xml version=\"1.0\"?><html>"] {
            assert_eq!(spoken(other), other);
        }
    }

    #[test]
    fn a_profile_has_its_own_key_pair() {
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[backup]\naws_access_key_id=C\naws_secret_access_key = D\naws_session_token=E=\n";
        let one = in_profile(text, "default").unwrap();
        assert_eq!(
            (one.key_id.as_str(), one.secret_key.as_str(), one.token),
            ("A", "B", None)
        );
        let other = in_profile(text, "backup").unwrap();
        assert_eq!(
            (other.key_id.as_str(), other.token.as_deref()),
            ("C", Some("E="))
        );
        assert!(in_profile(text, "none").is_none());
    }
}
