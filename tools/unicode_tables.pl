#!/usr/bin/env perl
# Writes runtime/text/unicode_tables.inc: where the properties of code points change, from the
# Unicode data of this perl. Use: perl tools/unicode_tables.pl > runtime/text/unicode_tables.inc
use strict;
use warnings;
use Unicode::UCD;

sub properties_of {
  my $char = chr(shift);
  my $class = $char =~ /\p{L}/ ? 1 : $char =~ /\p{N}/ ? 2 : $char =~ /\p{White_Space}/ ? 3 : 0;
  my $capital = $char =~ /[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]/ ? 4 : 0;
  my $small = $char =~ /[\p{Ll}\p{Lm}\p{Lo}\p{M}]/ ? 8 : 0;
  return $class | $capital | $small;
}

my @changes;
my $last = -1;
no warnings 'utf8';
for my $code_point (0 .. 0x10FFFF) {
  my $surrogate = $code_point >= 0xD800 && $code_point <= 0xDFFF;
  my $properties = $surrogate ? 0 : properties_of($code_point);
  push @changes, sprintf('0x%07X', $code_point << 4 | $properties) if $properties != $last;
  $last = $properties;
}

my $version = Unicode::UCD::UnicodeVersion();
print "// Made by tools/unicode_tables.pl from Unicode $version: do not edit. Each entry holds up to the\n";
print "// next: first code point << 4 | small << 3 | capital << 2 | class (CharProperties).\n";
while (my @row = splice(@changes, 0, 9)) {
  print join(', ', @row), ",\n";
}
