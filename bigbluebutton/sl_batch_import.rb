#!/usr/bin/env ruby
# frozen_string_literal: true

# Sends recordings that this server has published and not yet sent: those from before the balancer was set up, and
# those that could not be sent before. Suitable for cron and systemd timers.

require 'optparse'
require File.join(File.dirname(File.realpath(__FILE__)), 'sl_recordings')

options = { again: false, dry_run: false }
parser = OptionParser.new do |opts|
  opts.banner = 'Usage: sl_batch_import.rb [options] [RECORD-ID…]'
  opts.on('--again', 'Also send recordings that were sent before') { options[:again] = true }
  opts.on('--dry-run', 'Only print what would be sent') { options[:dry_run] = true }
end
ids = parser.parse!

failures = 0
send_all = lambda do |store, named|
  # Recordings named on the command line are always sent.
  ids = named.empty? ? store.record_ids.reject { |id| store.sent?(id) && !options[:again] } : named
  ids.each_with_index do |id, n|
    print "#{n + 1}/#{ids.size} #{id} "
    $stdout.flush
    if options[:dry_run]
      puts "(#{store.formats(id).join(', ')})"
    elsif named.empty? && store.deleted?(id)
      puts 'was deleted at the balancer'
    else
      puts store.deliver(id, skip_if_sent: named.empty? && !options[:again]) ? 'sent' : 'has no published format'
    end
  rescue SlRecordings::Error => e
    failures += 1
    puts "not sent: #{e.message}"
  end
end

begin
  config = SlRecordings::Config.load
  config.become_owner
  store = SlRecordings::Store.new(config)
  # Only one batch runs at a time. Recordings named on the command line do not wait for it.
  if ids.empty? && !options[:dry_run]
    puts 'another batch is already running' unless store.with_batch_lock { send_all.call(store, []) }
  else
    send_all.call(store, ids)
  end
rescue SlRecordings::Error, SystemCallError => e
  abort "sl_batch_import.rb: #{e.message}"
end
abort "sl_batch_import.rb: recordings not sent: #{failures}; run this script again" if failures.positive?
