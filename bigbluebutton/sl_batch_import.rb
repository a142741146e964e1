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

failures = 0
send_all = lambda do |store, named|
  # Who names one wants it sent.
  ids = named.empty? ? store.all.reject { |id| store.sent?(id) && !options[:again] } : named
  ids.each_with_index do |id, n|
    print "#{n + 1}/#{ids.size} #{id} "
    $stdout.flush
    if options[:dry]
      puts "(#{store.formats(id).join(', ')})"
    elsif named.empty? && store.deleted?(id)
      puts 'is deleted at the balancer'
    else
      puts store.deliver(id, unless_sent: named.empty? && !options[:again]) ? 'sent' : 'has no published format'
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
  # One run at a time; but who names recordings does not wait for it.
  if ids.empty? && !options[:dry]
    puts 'another run is under way' unless store.alone { send_all.call(store, []) }
  else
    send_all.call(store, ids)
  end
rescue SlRecordings::Error, SystemCallError => e
  abort "sl_batch_import.rb: #{e.message}"
end
abort "sl_batch_import.rb: #{failures} were not sent; run it again" if failures.positive?
