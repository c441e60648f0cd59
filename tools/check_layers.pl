#!/usr/bin/env perl
# Checks who includes whom. The layers (docs/design.md):
#   base <- io <- {text, image};  base <- tensor <- backend;
#   tensor <- nn <- models <- checkpoint <- {generate, embed, train} <- {serve, cli}
# Prints "FILE:LINE: what" and fails when a layer knows what it must not know.
use strict;
use warnings;

# Folder => folders, or single headers, whose headers it may include.
my %may = (
    base     => [qw(base)],
    io       => [qw(base io)],
    text     => [qw(base io text)],
    image    => [qw(base io image)],
    tensor   => [qw(base tensor backend/backend.h)],    # ops call the table of kernels
    backend  => [qw(base tensor backend)],
    nn       => [qw(base tensor nn backend/backend.h io/json.h io/weights.h)],
    models   => [qw(base tensor nn models io/json.h io/weights.h io/weight_save.h
                    io/layout.h io/safetensors.h)],
    checkpoint => [qw(base io text image tensor nn models checkpoint)],
    generate => [qw(base io text image tensor nn models checkpoint generate)],
    embed    => [qw(base io text image tensor nn models checkpoint embed backend/backend.h)],
    train    => [qw(base io text image tensor nn models checkpoint train)],
    serve    => [],                                     # the public header alone
);
# A model file says what is computed, not where, on how many threads, from which file.
my %never = (models => { 'base/pool.h' => 1 });
my %system_home = (             # system header => the layers that may know of it
    'pthread.h' => [qw(base io serve)],                 # io: libcurl is to be started once
    'threads.h' => [], 'jansson.h' => [qw(io)],
    'zip.h' => [qw(io)], 'curl/curl.h' => [qw(io)], 'png.h' => [qw(image)], 'jpeglib.h' => [qw(image)],
    'webp/decode.h' => [qw(image)], 'webp/demux.h' => [qw(image)],
    'immintrin.h' => [qw(backend base)],
    'fcntl.h' => [qw(base io)], 'dirent.h' => [qw(io)], 'unistd.h' => [qw(base io)],
    'sys/mman.h' => [qw(base io)],
);

my $failures = 0;
sub failure { print "$_[0]:$_[1]: $_[2]\n"; $failures++; }

sub allowed {
    my ($layer, $header) = @_;
    return 1 if $header eq 'ocelli.h';
    return 0 if $never{$layer}{$header};
    my ($folder) = $header =~ m{^([^/]+)/};
    $folder //= $layer;                         # a bare name: a file beside this one
    return scalar grep { $_ eq $folder || $_ eq $header } @{ $may{$layer} };
}

sub check_library_file {
    my ($file, $layer) = @_;
    if (!$may{$layer}) {
        failure($file, 1, "folder $layer has no place among the layers");
        return;
    }
    open my $in, '<', $file or die "$file: $!\n";
    while (my $line = <$in>) {
        if ($line =~ /^\s*#\s*include\s*"([^"]+)"/) {
            my $header = $1;
            failure($file, $., "$layer may not include $header")
                unless allowed($layer, $header);
            (my $beside = $file) =~ s{[^/]+$}{$header};
            failure($file, $., "no such header: $header")
                unless -e "src/$header" || -e "include/$header" || -e $beside;
        } elsif ($line =~ /^\s*#\s*include\s*<([^>]+)>/) {
            my $homes = $system_home{$1} or next;
            failure($file, $., "<$1> is the business of " . join(' and ', @$homes))
                unless grep { $_ eq $layer } @$homes;
        }
    }
    close $in;
}

# Users of the library, ours included, see ocelli.h and their own headers.
sub check_user_file {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    while (my $line = <$in>) {
        next unless $line =~ /^\s*#\s*include\s*"([^"]+)"/;
        my $header = $1;
        (my $beside = $file) =~ s{[^/]+$}{$header};
        failure($file, $., "only ocelli.h, not $header")
            unless $header eq 'ocelli.h' || ($header !~ m{/} && -e $beside);
    }
    close $in;
}

my @files = `git ls-files 2>/dev/null`;
@files = `find src cli examples bindings -type f 2>/dev/null` unless @files;
chomp @files;
my $count = 0;
for my $file (grep { /\.(?:c|h|inc|cu)$/ && -f } @files) {
    if ($file =~ m{^src/([^/]+)/}) { check_library_file($file, $1); }
    elsif ($file =~ m{^(?:cli|examples|bindings)/}) { check_user_file($file); }
    else { next; }
    $count++;
}
print "layers: $count files, $failures failures\n";
exit($failures ? 1 : 0);
