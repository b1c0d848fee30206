/** Why a transfer did not come to its end, in words for users: never a secret. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
}
