#!/usr/bin/env perl
# What of the style can be checked by a machine: CONTRIBUTING.md says the rest. Needs no
# more than Debian's perl-base. Prints "FILE:LINE: what" and fails when a rule is broken;
# lines that begin with "warning" do not fail.
#   tools/check_style.pl [--wide]       --wide: also list every line over 90 columns
use strict;
use warnings;

use constant {
    COLUMNS => 90, COLUMNS_MAX => 100,      # the second: in @wide_yet
    FUNCTION_WARN => 60, FUNCTION_MAX => 100,
    FILE_WARN => 600, FILE_MAX => 1000,
};

# One public header, whatever it takes.
my %any_length = ('include/ocelli.h' => 1);

# Calls that the library makes nowhere, and why.
my %banned = (
    (map { $_ => 'no bound on what it writes' }
         qw(strcpy strcat sprintf vsprintf gets stpcpy)),
    (map { $_ => 'bounds without a NUL' } qw(strncpy strncat)),
    (map { $_ => 'cannot report an error' } qw(atoi atol atoll atof)),
    (map { $_ => 'hidden state' } qw(strtok rand srand setlocale localtime)),
    (map { $_ => 'size unknown until it runs' } qw(alloca)),
);
my %banned_in_library = (
    %banned,
    (map { $_ => 'the library never ends the process' } qw(exit _exit abort assert)),
    (map { $_ => 'the library never prints' }
         qw(printf fprintf vprintf vfprintf puts putchar perror)),
    (map { $_ => 'the library starts no process' } qw(system popen fork)),
);
my %memory = map { $_ => 'memory comes from base/alloc.h' }
    qw(malloc calloc realloc free strdup strndup aligned_alloc posix_memalign mmap);
# The gateway itself, what must exist before a heap or outlive it, and mapped files.
my %may_use_memory = map { $_ => 1 }
    qw(src/base/alloc.c src/base/context.c src/base/pool.c src/base/reserve.c src/io/file.c);

# Where lines over 90 columns are left: texts of 80 columns as they are printed, and programs
# whose lines were long before the limit was checked.
my @wide_yet = qw(cli/main.c bench/);
my $wide_yet = join '|', map { quotemeta } @wide_yet;

my ($failures, $warnings, $wide, $lines, $comment_lines) = (0, 0, 0, 0, 0);
my $list_wide = grep { $_ eq '--wide' } @ARGV;

sub failure { print "$_[0]:$_[1]: $_[2]\n"; $failures++; }
sub warning { print "warning: $_[0]:$_[1]: $_[2]\n"; $warnings++; }

sub tracked_files {
    my @files = `git ls-files 2>/dev/null`;
    @files = `find . -type f -not -path './build*' -printf '%P\n'` unless @files;
    chomp @files;
    return grep { -f } @files;
}

# The text with comments and literals blanked out; line breaks stay where they are.
sub code_only {
    my ($text) = @_;
    $text =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+')}
              { my $gone = $1; $gone =~ s/[^\n]/ /g; $gone }gsex;
    return $text;
}

sub check_layout {
    my ($file, $text, $tabs_allowed) = @_;
    my $number = 0;
    my $most = $file =~ /^(?:$wide_yet)/ ? COLUMNS_MAX : COLUMNS;
    for my $line (split /\n/, $text, -1) {
        $number++;
        my $columns = $line;
        utf8::decode($columns);
        my $width = $file =~ /\.(?:c|h|inc|cu)$/ ? length $columns : 0;
        if ($width > $most) {
            failure($file, $number, "$width columns, at most $most");
        } elsif ($width > COLUMNS) {
            $wide++;
            warning($file, $number, "$width columns") if $list_wide;
        }
        failure($file, $number, 'tab') if !$tabs_allowed && $line =~ /\t/;
        failure($file, $number, 'space before the line break') if $line =~ /[ \t\r]$/;
    }
    failure($file, $number, 'no line break at the end')
        if length $text && $text !~ /\n\z/;
}

# A function's body stands between "{" and "}" in the first column.
sub check_functions {
    my ($file, $code) = @_;
    my ($number, $start, $name) = (0, 0, '');
    for my $line (split /\n/, $code) {
        $number++;
        $name = $1 if !$start && $line =~ /^[A-Za-z_].*?(\w+)\(/;
        if ($line =~ /^\{/) { $start = $number; }
        elsif ($line =~ /^\}/ && $start) {
            my $length = $number - $start + 2;      # with the line of its name
            if ($length > FUNCTION_MAX) {
                failure($file, $start, "$name has $length lines, at most " . FUNCTION_MAX);
            } elsif ($length > FUNCTION_WARN) {
                warning($file, $start, "$name has $length lines");
            }
            $start = 0;
        }
    }
}

sub check_words {
    my ($file, $code) = @_;
    my %ban = $file =~ m{^src/} ? %banned_in_library : %banned;
    %ban = (%ban, %memory) if $file =~ m{^src/} && !$may_use_memory{$file};
    my $calls = join '|', sort keys %ban;
    my $number = 0;
    for my $line (split /\n/, $code) {
        $number++;
        while ($line =~ /(?<![\w.>])($calls)\s*\(/g) {
            failure($file, $number, "$1: $ban{$1}");
        }
        failure($file, $number, "$1: POSIX keeps the ending _t for itself")
            if $line =~ /^(?:typedef\b.*\b|\}\s*)(\w+_t)\s*;/;
    }
}

sub check_c {
    my ($file, $text) = @_;
    my $code = code_only($text);
    my @all = split /\n/, $text;
    if ($file !~ /\.inc$|_tables?\.[ch]$/) {
        if (@all > FILE_MAX && !$any_length{$file}) {
            failure($file, scalar @all, 'lines, at most ' . FILE_MAX);
        } elsif (@all > FILE_WARN) {
            warning($file, scalar @all, 'lines: think of a second file');
        }
        my @code = split /\n/, $code, -1;
        $lines += @all;
        $comment_lines += grep { ($code[$_] // '') !~ /\S/ && $all[$_] =~ /\S/
                                 || ($all[$_] =~ m{/[*/]}) } 0 .. $#all;
    }
    check_functions($file, $code);
    check_words($file, $code) unless $file =~ m{^(?:tests|fuzz|bench)/};
}

for my $file (tracked_files()) {
    next if $file =~ m{^tests/data/|^fuzz/corpus/|^models/};
    next unless $file =~ m{\.(?:c|h|inc|cu|sh|pl|cmake)$}
        || $file =~ m{^(?:Makefile|CMakeLists\.txt|\.ci/run)$};
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    close $in;
    $text //= '';
    check_layout($file, $text, $file =~ /Makefile$/);
    check_c($file, $text) if $file =~ /\.(?:c|h|inc|cu)$/;
}

printf "style: %d lines of C, %d %% with a comment, %d lines over %d columns\n", $lines,
    $lines ? 100 * $comment_lines / $lines : 0, $wide, COLUMNS;
print "style: $warnings warnings, $failures failures\n";
exit($failures ? 1 : 0);
