#!/usr/bin/env perl
# Writes runtime/text/unicode_tables.inc: where the class of code points changes, from the Unicode
# data of this perl. Use: perl tools/unicode_tables.pl > runtime/text/unicode_tables.inc
use strict;
use warnings;
use Unicode::UCD;

sub class_of {
  my $char = chr(shift);
  return 1 if $char =~ /\p{L}/;
  return 2 if $char =~ /\p{N}/;
  return 3 if $char =~ /\p{White_Space}/;
  return 0;
}

my @changes;
my $last = -1;
no warnings 'utf8';
for my $code_point (0 .. 0x10FFFF) {
  my $surrogate = $code_point >= 0xD800 && $code_point <= 0xDFFF;
  my $class = $surrogate ? 0 : class_of($code_point);
  push @changes, sprintf('0x%06X', $code_point << 2 | $class) if $class != $last;
  $last = $class;
}

my $version = Unicode::UCD::UnicodeVersion();
print "// Made by tools/unicode_tables.pl from Unicode $version: do not edit. Each entry is (first code\n";
print "// point << 2 | class) and holds up to the next; classes as in CharClass.\n";
while (my @row = splice(@changes, 0, 10)) {
  print join(', ', @row), ",\n";
}
