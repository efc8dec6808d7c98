//! A certificate for automatic TLS, made in memory: it encrypts, and proves nothing.
//!
//! etcd does the same where `ETCD_PEER_AUTO_TLS` is set, and then trusts everybody.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, alg_id};
use rustls::sign::public_key_to_spki;

use crate::error::Error;

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// A new key, and a certificate of its own for it.
pub(super) fn certificate() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Error> {
    let failed = |_| Error::new("cannot make a key for automatic TLS");
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
        .map_err(|_| failed(ring::error::Unspecified))?;
    let signed = to_be_signed(key.public_key().as_ref());
    let signature = key.sign(&random, &signed).map_err(failed)?;
    let signature = wrap(BITS, &[&[0], signature.as_ref()].concat());
    let der = wrap(
        SEQUENCE,
        &[signed, signature_algorithm(), signature].concat(),
    );
    let key = PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec());
    Ok((der.into(), key.into()))
}

/// RFC 5280, section 4.1: the TBSCertificate.
fn to_be_signed(public_key: &[u8]) -> Vec<u8> {
    let name = [
        wrap(OID, COMMON_NAME),
        wrap(UTF8, b"etcd-rejoin automatic TLS"),
    ];
    let name = wrap(SEQUENCE, &wrap(SET, &wrap(SEQUENCE, &name.concat())));
    let times = [
        wrap(TIME, b"20000101000000Z"),
        wrap(TIME, b"99991231235959Z"),
    ];
    let parts = [
        wrap(VERSION, &wrap(INTEGER, &[2])),
        wrap(INTEGER, &[1]),
        signature_algorithm(),
        name.clone(),
        wrap(SEQUENCE, &times.concat()),
        name,
        public_key_to_spki(&alg_id::ECDSA_P256, public_key).to_vec(),
    ];
    wrap(SEQUENCE, &parts.concat())
}

fn signature_algorithm() -> Vec<u8> {
    wrap(SEQUENCE, &alg_id::ECDSA_SHA256)
}

/// DER: tag, length, value. No value here reaches 64 KiB.
fn wrap(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let mut der = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    der.extend_from_slice(value);
    der
}
