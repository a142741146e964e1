#!/usr/bin/env ruby
# frozen_string_literal: true

# Deletes recordings from this server that the balancer has had for some days, with `bbb-record --delete`.
# With url: those that it says it has. With spool_dir: those that have left the spool. Where spool_dir is
# another machine's, that cannot be known: --trust takes what was sent for arrived.

require 'optparse'
require File.join(File.dirname(File.realpath(__FILE__)), 'sl_recordings')

options = { dry: false, trust: false }
OptionParser.new do |opts|
  opts.banner = 'Usage: sl_prune_recordings.rb [options]'
  opts.on('--days N', Float, 'Sent so many days ago (prune_after_days)') { |days| options[:days] = days }
  opts.on('--dry-run', 'Only say what would be deleted') { options[:dry] = true }
  opts.on('--trust', 'What was sent has arrived') { options[:trust] = true }
end.parse!

failures = 0
begin
  config = SlRecordings::Config.load
  store = SlRecordings::Store.new(config)
  store.prunable(options[:days] || config.number('prune_after_days'), trust: options[:trust]).each do |id|
    store.prune(id) unless options[:dry]
    puts "#{id} #{options[:dry] ? 'would be deleted' : 'deleted'}"
  rescue SlRecordings::Error => e
    failures += 1
    warn "#{id}: #{e.message}"
  end
rescue SlRecordings::Error, SystemCallError, SocketError, Timeout::Error, OpenSSL::SSL::SSLError => e
  abort "sl_prune_recordings.rb: #{e.message}"
end
exit 1 if failures.positive?
