#!/usr/bin/env ruby
# frozen_string_literal: true

# Sends recordings that this server has published and never sent: old ones, from before the balancer, and
# those whose sending failed. Fit for cron and systemd timers.

require 'optparse'
require File.join(File.dirname(File.realpath(__FILE__)), 'sl_recordings')

options = { again: false, dry: false }
parser = OptionParser.new do |opts|
  opts.banner = 'Usage: sl_batch_import.rb [options] [RECORD-ID…]'
  opts.on('--again', 'Also what was sent before') { options[:again] = true }
  opts.on('--dry-run', 'Only say what would be sent') { options[:dry] = true }
end
ids = parser.parse!

begin
  config = SlRecordings::Config.load
  store = SlRecordings::Store.new(config)
rescue SlRecordings::Error => e
  abort "sl_batch_import.rb: #{e.message}"
end
# Who names one wants it sent.
ids = store.all.reject { |id| store.sent?(id) && !options[:again] } if ids.empty?

failures = 0
ids.each_with_index do |id, n|
  print "#{n + 1}/#{ids.size} #{id} "
  $stdout.flush
  if options[:dry]
    puts "(#{store.formats(id).join(', ')})"
    next
  end
  puts store.deliver(id) ? 'sent' : 'has no published format'
rescue SlRecordings::Error => e
  failures += 1
  puts "not sent: #{e.message}"
end
abort "sl_batch_import.rb: #{failures} of #{ids.size} were not sent; run it again" if failures.positive?
