//! What must not compile, each beside a twin that compiles, so that it is the misuse alone which fails. (SPEC D1)

/// What is not signed can't be encoded.
///
/// ```compile_fail,E0599
/// use logothete::*;
/// fn send(outgoing: Outgoing) -> Bytes {
///     outgoing.encode()
/// }
/// ```
/// ```
/// use logothete::*;
/// fn send(outgoing: Outgoing, key: &SigningKey) -> Vec<Bytes> {
///     outgoing.sign(key).unwrap().iter().map(Envelope::encode).collect()
/// }
/// ```
///
/// An envelope comes from a signature only, not from parts.
///
/// ```compile_fail,E0624
/// use logothete::*;
/// fn forge(envelope: Envelope) -> Envelope {
///     Envelope::new(envelope.to(), todo!())
/// }
/// ```
/// ```
/// use logothete::*;
/// fn copy(envelope: Envelope) -> Envelope {
///     let _ = envelope.to();
///     envelope.clone()
/// }
/// ```
struct Unsigned;

/// What is not durable can't be signed.
///
/// ```compile_fail,E0599
/// use logothete::*;
/// fn promise(write: Write, key: &SigningKey) {
///     let _ = write.sign(key);
/// }
/// ```
/// ```
/// use logothete::*;
/// fn promise(write: Write, key: &SigningKey) {
///     let _ = write.persisted().sign(key);
/// }
/// ```
///
/// Nor encoded, durable or not.
///
/// ```compile_fail,E0599
/// use logothete::*;
/// fn send(write: Write) {
///     let _ = write.persisted().encode();
/// }
/// ```
/// ```
/// use logothete::*;
/// fn remote(write: Write) {
///     let _ = write.persisted().payloads().count();
/// }
/// ```
struct NotDurable;

/// A record is released once.
///
/// ```compile_fail,E0382
/// use logothete::*;
/// fn release(write: Write) -> [Released; 2] {
///     [write.persisted(), write.persisted()]
/// }
/// ```
/// ```
/// use logothete::*;
/// fn release(write: Write, another: Write) -> [Released; 2] {
///     [write.persisted(), another.persisted()]
/// }
/// ```
///
/// And signed once: what was released can't be signed again, what is to be released can't be copied.
///
/// ```compile_fail,E0382
/// use logothete::*;
/// fn sign(released: Released, key: &SigningKey) {
///     let _ = (released.sign(key), released.sign(key));
/// }
/// ```
/// ```compile_fail,E0599
/// use logothete::*;
/// fn copy(write: Write) -> [Released; 2] {
///     [write.clone().persisted(), write.persisted()]
/// }
/// ```
/// ```
/// use logothete::*;
/// fn sign(released: Released, key: &SigningKey) {
///     // A signer that fails loses nothing.
///     let _ = released.sign(key).map_err(|error| error.returned.sign(key));
/// }
/// ```
struct Twice;

/// A replica counts its own votes on a receipt only, and a receipt comes from a signature only.
///
/// ```compile_fail,E0451
/// use logothete::*;
/// fn receipt(signed: Receipt) -> Receipt {
///     Receipt { indices: vec![1], ..signed }
/// }
/// ```
/// ```
/// use logothete::*;
/// fn receipt(released: Released, key: &SigningKey) -> Receipt {
///     released.sign(key).unwrap().1
/// }
/// ```
struct Unpaid;

/// Numbers of one kind don't stand for those of another, and none comes from a bare number by itself.
///
/// ```compile_fail,E0308
/// use logothete::*;
/// let number: SequenceNumber = View::new(1);
/// ```
/// ```compile_fail,E0277
/// use logothete::*;
/// let number: SequenceNumber = 1_u64.into();
/// ```
/// ```compile_fail,E0308
/// use logothete::*;
/// let _ = View::new(1) < SequenceNumber::new(2);
/// ```
/// ```compile_fail,E0308
/// use logothete::*;
/// let client: ClientId = Digest::new([0; 32]);
/// ```
/// ```
/// use logothete::*;
/// let number: SequenceNumber = SequenceNumber::new(View::new(1).get());
/// let _ = SequenceNumber::new(1) < number;
/// let client: ClientId = ClientId::new(*Digest::new([0; 32]).as_bytes());
/// ```
struct Mixed;

/// Only the verifier makes what is believed.
///
/// ```compile_fail,E0277
/// use logothete::*;
/// fn believe(unverified: Unverified) -> Verified {
///     unverified.into()
/// }
/// ```
/// ```compile_fail,E0451
/// use logothete::*;
/// fn believe(verified: Verified, unverified: Unverified) -> Verified {
///     Verified { message: todo!(), group: todo!() }
/// }
/// ```
/// ```compile_fail,E0616
/// use logothete::*;
/// fn swap(mut verified: Verified, unverified: Unverified) {
///     verified.message = unverified.message;
/// }
/// ```
/// ```compile_fail,E0308
/// use logothete::*;
/// fn believe(verifier: &Verifier, unverified: Unverified) -> Verified {
///     unverified
/// }
/// ```
/// ```
/// use logothete::*;
/// fn believe(verifier: &Verifier, unverified: Unverified) -> Verified {
///     verifier.verify(unverified).unwrap()
/// }
/// ```
struct Believed;

/// What is not verified can't be stepped.
///
/// ```compile_fail,E0308
/// use logothete::*;
/// fn step(replica: &mut Replica, message: Unverified, out: &mut Outbox) {
///     replica.step(Time(0), Input::Message(message), out);
/// }
/// ```
/// ```
/// use logothete::*;
/// fn step(replica: &mut Replica, message: Unverified, verifier: &Verifier, out: &mut Outbox) {
///     replica.step(Time(0), Input::Message(verifier.verify(message).unwrap()), out);
/// }
/// ```
struct Unchecked;
