/** Written by dynodock. */
export interface Settings {
  /** Of SMTP and of the page. */
  login: string;
  password: string;
  /** `Mailgun`, in the page's title. */
  title: string;
  folder: string;
  smtpPort: number;
  webPort: number;
  /** With `server.crt` and `server.key`. */
  tlsFolder: string;
  /** Is STARTTLS offered? */
  startTls: boolean;
  /** The oldest give way. */
  maxMessages: number;
  maxBytes: number;
  /** A longer one is refused. */
  maxMessageBytes: number;
  maxClients: number;
}
