#!/usr/bin/env perl
# A web server of a few lines in Perl, which every run image has: shows that any program can be a dyno.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{PIPE} = 'IGNORE';
my $port   = $ENV{PORT} // 5000;
my $server = IO::Socket::INET->new(LocalPort => $port, Listen => 64, ReuseAddr => 1, Proto => 'tcp')
  or die "Cannot listen on port $port: $!\n";
print "Listening on port $port\n";

$SIG{TERM} = sub { print "SIGTERM received, closing\n"; exit 0 };

while (1) {
    my $client = $server->accept or next;
    # The headers end with an empty line.
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n$/ }
    my $body = 'Hello from Perl on ' . ($ENV{DYNO} // 'no dyno') . "\n";
    print $client "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " . length($body)
      . "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
